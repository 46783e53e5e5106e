"""Rows that were with a replica when it ended, and the search for the one that ended it.

A batch is asked again as a whole, since most replicas end for reasons of their own; the second
time it is halved, until a row alone has ended a replica. Nobody is made to wait for the whole
search: what is suspected is remembered, and such a row is asked alone when it comes again.
"""

from collections import OrderedDict, deque
from typing import TypeVar

from serving.batch import Answer, Batch, Entry, Outcome

REMEMBERED = 4096
"""Rows that are remembered at most."""
KEPT_FOR = 600.0
"""Seconds after which a row is tried like any other again: what ended it may have been mended."""


Value = TypeVar("Value")


class Suspects:
    """The batches to be asked again, and what is known of rows."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._suspected: OrderedDict[bytes, float] = OrderedDict()
        self._guilty: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def are_proven(self) -> bool:
        """Whether the next batch has ended two replicas already: one of its rows is the cause."""
        return bool(self._batches) and self._batches[0][0].deaths >= 2

    @property
    def knows_any(self) -> bool:
        """Whether any row is known; nearly always not, so that this is all a request pays."""
        return bool(self._suspected or self._guilty)

    def verdict(self, block: bytes, now: float) -> Answer | None:
        """What a row is told that has been found to end replicas."""
        known = self._guilty.get(block)
        if known is None:
            return None
        if known[0] <= now:
            del self._guilty[block]
            return None
        return known[1]

    def is_suspected(self, block: bytes, now: float) -> bool:
        """Whether a row was with a replica when it ended, and was not answered since."""
        until = self._suspected.get(block)
        return until is not None and until > now

    def add(self, entry: Entry) -> None:
        """Have a suspected row asked alone."""
        entry.deaths = 1
        self._batches.append([entry])

    def take(self) -> Batch:
        """The next batch to ask again; what nobody waits for any more is left out."""
        while self._batches:
            batch = [entry for entry in self._batches.popleft() if entry.is_wanted]
            if batch:
                return batch
        return []

    def blame(self, batch: Batch, reason: str, now: float) -> None:
        """A replica ended with this batch."""
        until = now + KEPT_FOR
        for entry in batch:
            entry.deaths += 1
            _remember(self._suspected, entry.block, until)
        if len(batch) == 1 and batch[0].deaths >= 2:
            # Twice, and alone at last: this row ends replicas.
            error = f"row_kills_replica: the model's process ended on this row: {reason}"
            answer = Answer(Outcome.ROW_FAILED, error=error)
            self._suspected.pop(batch[0].block, None)
            _remember(self._guilty, batch[0].block, (until, answer))
            batch[0].resolve(answer)
        elif batch and batch[0].deaths < 2:
            self._batches.append(batch)
        elif batch:
            half = len(batch) // 2
            self._batches += [batch[:half], batch[half:]]

    def clear(self, batch: Batch) -> None:
        """These were answered: it was not them."""
        for entry in batch:
            self._suspected.pop(entry.block, None)

    def empty(self) -> Batch:
        """Give up what waits to be asked again."""
        entries = [entry for batch in self._batches for entry in batch]
        self._batches.clear()
        return entries


def _remember(known: OrderedDict[bytes, Value], block: bytes, value: Value) -> None:
    known[block] = value
    known.move_to_end(block)
    while len(known) > REMEMBERED:
        known.popitem(last=False)
