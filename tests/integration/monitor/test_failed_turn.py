"""A turn that fails has done nothing, and the next one does all of it."""

import asyncio
from datetime import datetime

import asyncpg
import pytest

from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.store.database import connect
from monitor.watches.watch import DEFAULT_WATCHES
from tests.support.monitoring import bad_release, lay, rows_of, settings_for
from tests.support.shipped import ship

OBSERVED = """
    SELECT s.observations FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.name = 'loss' AND s.subject = '1'
"""


def out_of_order() -> datetime:
    raise OSError("the clock does not answer")


def test_an_application_whose_first_turn_failed_is_watched_from_its_first_row(
    database: str,
) -> None:
    settings = settings_for(database)

    async def check() -> None:
        engine, memory = connect(database), Memory()
        connection = await asyncpg.connect(database)
        try:
            await lay(database, [])
            # It makes the watches of the new application before it asks what time it is.
            with pytest.raises(OSError, match="clock"):
                await turn_once(engine, settings, out_of_order, memory=memory)
            assert await rows_of(database, "SELECT 1 FROM watches") == []
            for predictions, labels in bad_release(shipments=2):
                await ship(connection, predictions, labels)
            while await turn_once(engine, settings, memory=memory) is not None:
                continue
        finally:
            await connection.close()
            await engine.dispose()

    asyncio.run(check())
    assert len(asyncio.run(rows_of(database, "SELECT 1 FROM watches"))) == len(DEFAULT_WATCHES)
    assert [row["observations"] for row in asyncio.run(rows_of(database, OBSERVED))] == [100]
