"""What is dropped when it is old: days of the record that every shard has read, and fine sums.

Kept for good: alerts and what happened about them, alarms with their evidence, remedies, revisions,
and one sum per hour and signal.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from monitor import metrics
from monitor.records import Application
from monitor.settings import Settings
from monitor.store import retention as store
from monitor.store.registry import read_registry
from monitor.store.summaries import drop_fine
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.retention")


@dataclass(slots=True)
class Retention:
    """Drops what is too old, again and again.

    Days whose rows were partly deleted are remembered, so that they are not searched again.
    """

    settings: Settings
    clock: Clock
    _thinned: dict[date, frozenset[int]] = field(default_factory=dict)

    async def drop(self, engine: AsyncEngine) -> list[str]:
        """Drop once; names of what was dropped.

        Each day goes in a transaction of its own: serving writes on between two.
        """
        async with engine.begin() as connection:
            await drop_fine(
                connection,
                self.clock(),
                points=self.settings.retention_points,
                minutes=self.settings.retention_minutes,
            )
            registry = await read_registry(connection)
            days = await store.read_days(connection)
        ages = ages_of(registry.applications, self.settings)
        dropped: list[str] = []
        for day in days["predictions"]:
            expired = expired_on(day, ages, self.clock())
            if (
                expired
                and expired != self._thinned.get(day)
                and await self._drop(engine, day, expired)
            ):
                dropped.append(f"predictions_{day:%Y%m%d}")
        async with engine.begin() as connection:
            days = await store.read_days(connection)
        for day in orphaned(days["feedback"], days["predictions"], ages, self.clock()):
            async with engine.begin() as connection:
                if await store.hold(connection) and await store.lock_day(
                    connection, "feedback", day
                ):
                    await store.drop_day(connection, "feedback", day)
                    dropped.append(f"feedback_{day:%Y%m%d}")
        if dropped:
            async with engine.begin() as connection:
                before = self.clock() - max(age for age in ages.values() if age is not None)
                await store.delete_shipments(connection, await store.read_days(connection), before)
            metrics.DROPPED_PARTITIONS.inc(len(dropped))
            log.info("days_dropped names=%s", ",".join(dropped))
        return dropped

    async def _drop(self, engine: AsyncEngine, day: date, expired: frozenset[int]) -> bool:
        async with engine.begin() as connection:
            if not await store.hold(connection):
                return False
            if not await store.lock_day(connection, "predictions", day):
                log.info("day_not_read day=%s", day)
                return False
            if not await store.holds_others(connection, day, expired):
                await store.drop_day(connection, "predictions", day)
                return True
            rows = await store.delete_rows(connection, day, expired)
        self._thinned[day] = expired
        log.info("rows_deleted day=%s rows=%d", day, rows)
        return False


Ages = Mapping[int, timedelta | None]
"""How long an application's predictions are kept; none for good."""


def ages_of(applications: Mapping[int, Application], settings: Settings) -> Ages:
    """How long each application's predictions are kept, by its task."""
    own = {str(task): age for task, age in settings.retention_tasks.items()}
    return {
        number: own.get(one.task, settings.retention_predictions)
        for number, one in applications.items()
    }


def expired_on(day: date, ages: Ages, now: datetime) -> frozenset[int]:
    """Applications whose predictions of a day are all too old."""
    end = store.bounds(day)[1]
    return frozenset(a for a, age in ages.items() if age is not None and end <= now - age)


def orphaned(
    feedback: list[date], predictions: list[date], ages: Ages, now: datetime
) -> list[date]:
    """Days of labels to which no prediction can be left.

    A label comes after its prediction: once all days of predictions up to its own are gone, and no
    prediction so old could still come, nobody looks it up.
    """
    finite = [age for age in ages.values() if age is not None]
    if not finite:
        return []
    oldest = predictions[0] if predictions else date.max
    return [day for day in feedback if day < oldest and store.bounds(day)[1] <= now - max(finite)]
