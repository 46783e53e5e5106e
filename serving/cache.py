"""Answers of one version, kept for rows that come again.

Only a model that says the same of the same row may be asked once instead of twice, and nothing in
an artefact tells whether it does: so there is no cache unless the operator sets one up.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from serving.batch import Answer

OVERHEAD = 400
"""Bytes that an entry takes beside its row and its answer: objects and their place in the table."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What bounds a cache."""

    size: int = 0
    """Bytes; 0 for no cache."""
    age: float = 60.0
    """Seconds after which an answer is asked for again."""


NO_CACHE = CacheLimits()
"""Every row is asked for."""


class _Kept(NamedTuple):
    answer: Answer
    until: float
    size: int


class AnswerCache:
    """A bounded table from a row's bytes to its answer; what was not used for longest goes first.

    The row itself is the key: equal hashes are told apart by comparing the rows, so no two rows can
    ever share an answer. The version is not part of the key, since each has a cache of its own.
    """

    def __init__(self, limits: CacheLimits) -> None:
        """Make an empty one."""
        self._limits = limits
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self.size = 0
        """Bytes that the entries take."""
        self.hits = 0
        """Rows answered from here, or together with an equal row."""
        self.misses = 0
        """Rows that a replica was asked for."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, block: bytes, now: float) -> Answer | None:
        """The kept answer to a row, if it is young enough."""
        kept = self._kept.get(block)
        if kept is None:
            return None
        if kept.until <= now:
            self._drop(block)
            return None
        self._kept.move_to_end(block)
        return kept.answer

    def put(self, block: bytes, answer: Answer, now: float) -> None:
        """Keep an answer; others go until it has room, and one that never would is not kept."""
        if block in self._kept:
            self._drop(block)
        size = OVERHEAD + len(block) + len(answer.output) + len(answer.scores or b"")
        if size > self._limits.size:
            return
        while self.size + size > self._limits.size:
            self._drop(next(iter(self._kept)))
        hit = Answer(answer.outcome, answer.output, answer.scores, cached=True)
        self._kept[block] = _Kept(hit, now + self._limits.age, size)
        self.size += size

    def purge(self) -> None:
        """Forget every answer."""
        self._kept.clear()
        self.size = 0

    def _drop(self, block: bytes) -> None:
        self.size -= self._kept.pop(block).size
