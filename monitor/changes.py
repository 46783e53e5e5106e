"""Whether anything changed that people look at, asked once however many look."""

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_TOKEN = text("""
    SELECT (SELECT max(updated_at)::text FROM monitor_cursors) AS data,
           (SELECT (count(*), max(id), max(updated_at))::text FROM alerts) AS alerts,
           (SELECT (count(*), max(id), max(acted_at), count(outcome), count(*) FILTER
                    (WHERE state = 'proposed'), sum(attempts))::text FROM remedies) AS remedies,
           (SELECT count(*)::text FROM revisions) AS routes
""")


class Changes:
    """What stands now, as far as it tells a change.

    Parameters
    ----------
    pause
        Seconds for which an answer serves everybody.
    """

    def __init__(
        self, engine: AsyncEngine, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._pause = pause
        self._clock = clock
        self._lock = asyncio.Lock()
        self._seen: dict[str, str | None] = {}
        self._at: float | None = None

    async def look(self) -> dict[str, str | None]:
        """Tokens by name; one that differs from before tells a change there."""
        async with self._lock:
            now = self._clock()
            if self._at is None or now - self._at >= self._pause * 0.9:
                async with self._engine.connect() as connection:
                    self._seen = dict((await connection.execute(_TOKEN)).mappings().one())
                self._at = now
            return self._seen
