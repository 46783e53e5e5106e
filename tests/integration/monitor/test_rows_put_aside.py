"""Rows that complete no step of a test leave the detectors as they are written, and nothing of what
they tell is lost."""

import asyncio
from typing import Any

import numpy as np

from migrations.upgrade import upgrade
from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.store.database import connect
from tests.integration.monitor.test_signals import lay, plain
from tests.support.monitoring import STATISTIC, alarms_of, catch_up, rows_of, settings_for
from tests.support.postgres import execute, sqlalchemy_url

ROWS, ALONE = 860, 60
"""Rows, and those at their end that come one by one."""
BAD = 55
"""The last of those."""
INFORMS = "UPDATE watches SET tier = 'info' WHERE name = 'row by row'"

STATES = (
    "SELECT w.name, s.subject, s.status, s.observations, round(s.granted::numeric, 9) AS granted,"
    f" s.alarms, {STATISTIC}, s.last_observed_at, s.started_at"
    " FROM watch_states s JOIN watches w ON w.id = s.watch_id ORDER BY 1, 2"
)
WRITTEN = "SELECT w.name, md5(s.state) AS sum FROM watch_states s JOIN watches w ON w.id = watch_id"
MOVED = (
    "SELECT jsonb_path_query_array(evidence, '$.moved[*].signal')::text AS moved FROM alarms a"
    " JOIN watches w ON w.id = a.watch_id WHERE w.name = 'errors by fives'"
)


def drifting(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """A feature fails now and then, and both move far away a few rows before the end."""
    made = plain(number, rng)
    values = np.frombuffer(made["input"]).copy()
    if number >= ROWS - BAD:
        values += 4.0
    if rng.random() < 0.2:
        values[1] = np.nan
    return made | {"input": values.tobytes()}


def test_rows_that_come_alone_are_put_aside_and_conclude_what_they_do_together(
    database: str, empty_database: str
) -> None:
    async def check() -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url in (database, empty_database):
            await lay(
                url,
                ROWS,
                drifting,
                alone=ALONE,
                error=_always_at_the_end,
                watches=(
                    ("by fives", "feature.*", "ranks", {"block": 5}),
                    ("errors by fives", "loss", "bounded-mean", {"limit": 0.2, "block": 5}),
                    ("row by row", "feature.*", "ranks", {"block": 1}),
                ),
            )
            await asyncio.to_thread(execute, url, INFORMS)
        await catch_up(settings_for(empty_database))
        written, turns = await _one_by_one(database)
        assert turns >= ALONE
        # Each turn has a row: a step of one watch, and a part of a step of the other.
        # A step with each row, but good news of which none can alarm.
        assert written["service"] < turns / 8
        assert max(written["by fives"], written["errors by fives"]) < turns / 2
        # A step with each row, and yet it is looked at with every tenth.
        assert written["row by row"] < turns / 2
        found = await alarms_of(database)
        expected = {"errors by fives", "row by row", "loss_without_reference"}
        assert expected <= {name for name, *_ in found}
        assert found == await alarms_of(empty_database)
        assert await rows_of(database, STATES) == await rows_of(empty_database, STATES)
        # What moved is told of all detectors, also of those that the turn had left alone.
        (told,) = await rows_of(database, MOVED)
        # Of the age by three watches, of which some had no step in that turn or were not read for
        # it.
        assert told["moved"].count("feature.age") == 3

    asyncio.run(check())


def _always_at_the_end(number: int, _row: dict[str, Any]) -> float:
    return 1.0 if number >= ROWS - BAD else 0.1


async def _one_by_one(url: str) -> tuple[dict[str, int], int]:
    """How often each watch's detectors were written, in how many turns; most turns go on from what
    the one before remembered, some from the tables alone."""
    engine, settings = connect(url), settings_for(url, turn_rows=1)
    written: dict[str, int] = {}
    last: dict[str, str] = {}
    memory, turns = Memory(), 0
    try:
        while await turn_once(engine, settings, memory=memory) is not None:
            now = {row["name"]: row["sum"] for row in await rows_of(url, WRITTEN)}
            for name, value in now.items():
                written[name] = written.get(name, 0) + (value != last.get(name))
            last, turns = now, turns + 1
            if turns % 3 == 0:
                memory = Memory()
    finally:
        await engine.dispose()
    return written, turns
