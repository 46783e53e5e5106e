"""An application that is asked no more, while others of its shard are asked without end."""

import asyncio
import random
from datetime import datetime, timedelta
from functools import partial

import asyncpg

from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.store.database import connect
from tests.support.many_applications import lay_many
from tests.support.monitoring import catch_up, rows_of, settings_for
from tests.support.shipped import Prediction, prediction_id, ship

LAST = "SELECT max(predicted_at) AS at FROM predictions"
TOLD = "SELECT application_id, kind FROM alerts WHERE kind LIKE 'service.traffic%'"
COUNTED = (
    "SELECT alarms FROM watch_states s JOIN watches w ON w.id = s.watch_id"
    " WHERE w.detector = 'quiet' ORDER BY w.application_id"
)


def fixed(at: datetime) -> datetime:
    """What a clock says that stands."""
    return at


def test_it_is_told_though_no_turn_finds_the_record_without_rows(database: str) -> None:
    async def check() -> None:
        await lay_many(database, 2, shipments=10)
        await catch_up(settings_for(database))
        (last,) = await rows_of(database, LAST)
        assert await rows_of(database, TOLD) == []
        engine, memory, settings = connect(database), Memory(), settings_for(database)
        connection, rng = await asyncpg.connect(database), random.Random(1)
        for minute in range(240):
            at = last["at"] + timedelta(minutes=minute)
            # After an outage: rows come an hour late, of which more may come of the other.
            late = timedelta(hours=1 if minute < 120 else 0)
            await ship(connection, [Prediction(prediction_id(at, rng), at, 1)], [])
            turned = await turn_once(engine, settings, partial(fixed, at + late), memory=memory)
            assert turned is not None
            assert minute >= 120 or await rows_of(database, TOLD) == []
        await connection.close()
        await engine.dispose()
        told = await rows_of(database, TOLD)
        # As an application that is asked again tells it, and its plots.
        assert {one["alarms"] for one in await rows_of(database, COUNTED)} == {0, 1}
        assert [(one["application_id"], one["kind"]) for one in told] == [(2, "service.traffic")]

    asyncio.run(check())
