"""Timers of deadlines: one for all rows whose deadlines lie close together."""

import asyncio
from collections.abc import Callable

from serving.batch import Batch, Entry

SHARED_FROM = 0.1
"""Seconds until a deadline from which it is told by a coarser clock than one of milliseconds."""
SHARED_PART = 20.0
"""Milliseconds of that clock for each second until the deadline: 2 % of it at most are lost."""


class Deadlines:
    """Tells which rows are due.

    Parameters
    ----------
    on_due
        Takes the rows of one moment, answered or not.
    """

    __slots__ = ("_due", "_on_due")

    def __init__(self, on_due: Callable[[Batch], None]) -> None:
        self._on_due = on_due
        self._due: dict[int, Batch] = {}

    def add(self, loop: asyncio.AbstractEventLoop, entry: Entry) -> None:
        """Tell of a row when its deadline comes, or a little before."""
        tick = int(entry.deadline * 1000)
        left = entry.deadline - entry.arrived
        if left >= SHARED_FROM:
            # Each timer wakes the loop. A few milliseconds are not missed in so long a time.
            tick -= tick % int(left * SHARED_PART)
        batch = self._due.get(tick)
        if batch is None:
            batch = self._due[tick] = []
            loop.call_at(tick / 1000, self._come, tick)
        batch.append(entry)

    def _come(self, tick: int) -> None:
        self._on_due(self._due.pop(tick))
