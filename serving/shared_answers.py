"""Equal rows share one answer: one that is kept, or one that is on its way."""

from collections.abc import Sequence
from enum import Enum, auto

from serving.batch import Answer, Batch, Entry, Outcome
from serving.cache import AnswerCache, CacheLimits


class Sharing(Enum):
    """What became of a row that was looked up."""

    NEW = auto()
    """It is to be asked."""
    ANSWERED = auto()
    """An answer was kept."""
    FOLLOWS = auto()
    """It gets the answer of an equal row that is on its way."""
    URGES = auto()
    """The same, and the row that it follows became more urgent by it."""


class SharedAnswers:
    """The kept answers of one version, and the rows that wait or are in flight."""

    def __init__(self, limits: CacheLimits) -> None:
        self.cache = AnswerCache(limits)
        self._asked: dict[bytes, Entry] = {}
        """Each row is computed once."""

    def look_up(self, entry: Entry, now: float) -> tuple[Sharing, Entry]:
        """Answer a row, or let it follow an equal one; gives that one as well."""
        cache = self.cache
        kept = cache.get(entry.block, now)
        if kept is not None:
            cache.hits += 1
            entry.waiter.set_result(kept)
            return Sharing.ANSWERED, entry
        first = self._asked.get(entry.block)
        if first is None or not first.is_wanted:
            cache.misses += 1
            return Sharing.NEW, entry
        cache.hits += 1
        if first.followers is None:
            first.followers = []
        first.followers.append(entry)
        if first.waiting and (entry.background, entry.deadline) < (
            first.background, first.deadline,
        ):  # fmt: skip
            first.background, first.deadline = entry.background, entry.deadline
            return Sharing.URGES, first
        return Sharing.FOLLOWS, first

    def asked(self, entry: Entry) -> None:
        """Let equal rows follow this one from now on."""
        self._asked[entry.block] = entry

    def keep(self, batch: Batch, answers: Sequence[Answer], now: float) -> None:
        """Keep what a replica answered."""
        for entry, answer in zip(batch, answers, strict=True):
            # A row that was asked before everything was forgotten is no longer known here.
            if self.forget(entry) and answer.outcome is Outcome.ANSWERED:
                self.cache.put(entry.block, answer, now)

    def forget(self, entry: Entry) -> bool:
        """Let no row follow this one any more; False if none would have."""
        if self._asked.get(entry.block) is not entry:
            return False
        del self._asked[entry.block]
        return True

    def forget_asked(self) -> None:
        """Let no row follow any that was asked so far."""
        self._asked.clear()

    def purge(self) -> None:
        """Forget every kept answer; whoever comes from now on asks anew."""
        self.cache.purge()
        self.forget_asked()
