"""Who waits until Postgres has a record."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from serving.errors import DatabaseUnavailableError

Tell = Callable[[Exception | None], None]
"""Who hears that a record is safe, or why it is not."""

log = logging.getLogger("serving.journal")


class AwaitedShipments:
    """Waiters in the order of their entries, so that a shipment looks at those alone that it frees.

    No future and no timer for each: at full load there are thousands a second.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float, Tell]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: int, within: float | None, tell: Tell) -> None:
        """Call when Postgres has an entry; entries come in their order.

        Parameters
        ----------
        within
            Seconds after which `tell` hears `DatabaseUnavailableError` instead; none for ever.
        """
        loop = asyncio.get_running_loop()
        until = float("inf") if within is None else loop.time() + within
        self._waiting.append((entry, until, tell))
        if within is not None and self._timer is None:
            self._timer = loop.call_at(until, self._give_up)

    def arrived(self, upto: int) -> None:
        """Tell those whose entries are up to this one."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= upto:
            call(waiting.popleft()[2], None)

    def _give_up(self) -> None:
        """Tell those who have waited for too long; one timer looks after all."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [tell for _, until, tell in self._waiting if until <= now]
        self._waiting = deque(one for one in self._waiting if one[1] > now)
        next_at = min((until for _, until, _ in self._waiting), default=float("inf"))
        self._timer = None if next_at == float("inf") else loop.call_at(next_at, self._give_up)
        for tell in late:
            call(tell, DatabaseUnavailableError())


def call(tell: Tell, error: Exception | None) -> None:
    """Tell one waiter; one who fails takes nobody with it."""
    try:
        tell(error)
    except Exception:
        log.exception("waiter_failed")
