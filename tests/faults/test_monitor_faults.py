"""The monitor is killed at arbitrary instructions; its conclusions are those of an undisturbed
run."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from migrations.upgrade import upgrade
from tests.support.monitoring import alarms_of, bad_release, catch_up, lay, rows_of, settings_for
from tests.support.postgres import sqlalchemy_url

KILLS = 4
"""Times that the process is killed while it reads."""

TURNS = """
import asyncio, sys
from monitor.loop import turn_once
from monitor.settings import Settings
from monitor.store.database import connect

async def main():
    settings = Settings(database_url=sys.argv[1], turn_rows=1, remedy_mode="observe")
    engine = connect(settings.database_url)
    print("ready", flush=True)
    while await turn_once(engine, settings) is not None:
        pass
    await engine.dispose()

asyncio.run(main())
"""
"""The loop's own turns, one shipment each."""


@pytest.mark.faults
def test_killed_anywhere_it_concludes_what_an_undisturbed_run_does(
    database: str, empty_database: str
) -> None:
    async def prepare() -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url in (database, empty_database):
            await lay(url, bad_release(shipments=30, rows=40))
        await catch_up(settings_for(empty_database))

    asyncio.run(prepare())
    rng = random.Random(20261123)
    finished = False
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", TURNS, database], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.05, 0.35))
        finished = process.poll() is not None
        if not finished:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    asyncio.run(catch_up(settings_for(database)))
    disturbed, undisturbed = (
        asyncio.run(alarms_of(database)),
        asyncio.run(alarms_of(empty_database)),
    )
    assert disturbed == undisturbed != []
    counted = "SELECT signal, subject, at, n, total FROM signal_points ORDER BY 1, 2, 3"
    assert asyncio.run(rows_of(database, counted)) == asyncio.run(rows_of(empty_database, counted))
