"""Predictions that grow old enough while nothing comes are tested by the clock, each once."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.settings import Settings
from monitor.store.database import connect
from tests.support.monitoring import bad_release, lay, rows_of, settings_for
from tests.support.shipped import START, ship

AGE = timedelta(hours=1)
ROWS = 1200
LAST = START + ROWS * timedelta(seconds=5)
"""Moment of the last prediction."""


async def prepare(database: str) -> Settings:
    """A record that is all there, and one watch of it that lets predictions grow old."""
    settings = settings_for(database)
    await lay(database, [], reference=False)
    await turns(settings, START)
    connection = await asyncpg.connect(database)
    try:
        # The first turn made the watches.
        changed = {"mature_after": AGE // timedelta(seconds=1), "limit": 0.15}
        await connection.execute(
            "UPDATE watches SET settings = $1 WHERE name = 'loss'", json.dumps(changed)
        )
        for predictions, feedback in bad_release():
            await ship(connection, predictions, feedback)
    finally:
        await connection.close()
    return settings


async def turns(settings: Settings, now: datetime, memory: Memory | None = None) -> None:
    """Turns until nothing is left, by a clock that stands."""
    engine = connect(settings.database_url)
    try:
        while await turn_once(engine, settings, lambda: now, memory=memory) is not None:
            pass
    finally:
        await engine.dispose()


async def observed_by(database: str) -> dict[str, int]:
    rows = await rows_of(
        database,
        "SELECT s.subject, s.observations FROM watch_states s JOIN watches w ON w.id = s.watch_id"
        " WHERE w.name = 'loss' ORDER BY 1",
    )
    return {row["subject"]: row["observations"] for row in rows}


async def alarms(database: str) -> list[dict[str, Any]]:
    return await rows_of(
        database,
        "SELECT subject, observation, alarmed_at FROM alarms a JOIN watches w ON w.id = a.watch_id"
        " WHERE w.name = 'loss' ORDER BY alarmed_at",
    )


@pytest.mark.parametrize("remembers", [False, True])
def test_labels_that_stop_leave_no_prediction_untested(database: str, remembers: bool) -> None:
    async def run() -> None:
        settings = await prepare(database)
        memory = Memory() if remembers else None
        await turns(settings, LAST, memory)
        # By the time of the record the last of them are too young.
        early = await observed_by(database)
        assert sum(early.values()) < ROWS * 0.7
        await turns(settings, LAST + AGE / 2, memory)
        half = await observed_by(database)
        assert sum(early.values()) < sum(half.values()) < ROWS
        for _ in range(2):
            await turns(settings, LAST + AGE + timedelta(minutes=2), memory)
            assert await observed_by(database) == {"1": ROWS // 2, "2": ROWS // 2}
        found = await alarms(database)
        assert found
        assert {row["subject"] for row in found} == {"2"}
        # At the moment at which the deciding prediction was old enough, not when it was looked at.
        assert found[0]["alarmed_at"] < LAST + AGE

    asyncio.run(run())


def test_two_monitors_that_look_at_once_test_each_prediction_once(database: str) -> None:
    async def run() -> None:
        settings = await prepare(database)
        await turns(settings, LAST)
        later = LAST + AGE + timedelta(minutes=2)
        await asyncio.gather(*(turns(settings, later) for _ in range(4)))
        assert await observed_by(database) == {"1": ROWS // 2, "2": ROWS // 2}
        once = await alarms(database)
        assert len({row["observation"] for row in once}) == len(once)

    asyncio.run(run())


def test_a_watch_that_fails_by_the_clock_stops_alone(database: str) -> None:
    now = LAST + 2 * AGE

    async def run() -> None:
        settings = await prepare(database)
        await turns(settings, LAST)
        corrupt = "UPDATE watch_states s SET state = '\\xc1' FROM watches w WHERE w.id = s.watch_id"
        await rows_of(database, f"{corrupt} AND w.name = 'loss' RETURNING 1")
        before = await observed_by(database)
        for _ in range(2):
            await turns(settings, now)
        assert await observed_by(database) == before
        failed = await rows_of(
            database, "SELECT name, failed_at, failure FROM watches WHERE failed_at IS NOT NULL"
        )
        assert [(one["name"], one["failed_at"]) for one in failed] == [("loss", now)]
        assert failed[0]["failure"].startswith("DecodeError: ")

    asyncio.run(run())
