"""A watch whose evaluation raises stops and says so; the others of its turn do as they would."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.settings import Settings
from monitor.store.database import connect
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import bad_release, lay, rows_of, settings_for
from tests.support.shipped import ship

STATE = """
    SELECT s.watch_id, s.state FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.name = 'loss'
"""
CORRUPT = "UPDATE watch_states SET state = $2 WHERE watch_id = $1 RETURNING watch_id"
Corrupt = Callable[[bytes], bytes]
OTHERS = """
    SELECT w.name, s.subject, s.status, s.observations, s.granted, s.alarms, s.statistic, s.aside,
           s.state
      FROM watch_states s JOIN watches w ON w.id = s.watch_id WHERE w.name <> 'loss' ORDER BY 1, 2
"""
ALARMS = """
    SELECT w.name, a.subject, a.observation, a.prediction_id
      FROM alarms a JOIN watches w ON w.id = a.watch_id WHERE w.name <> 'loss' ORDER BY 1, 2, 3
"""
OF_LOSS = "SELECT s.* FROM watch_states s JOIN watches w ON w.id = s.watch_id WHERE w.name = 'loss'"


def no_state(_state: bytes) -> bytes:
    """What cannot be read at all."""
    return b"\xc1"


def no_detector(state: bytes) -> bytes:
    """What is read, and fails when its detector is wanted."""
    parts = msgspec.msgpack.decode(state)
    assert parts[1]
    return msgspec.msgpack.encode([parts[0], b"no detector", *parts[2:]])


async def run(settings: Settings, corrupt: Corrupt | None) -> list[Any]:
    """Half of a bad release, then the rest, the loss's state corrupted in between."""
    url = settings.database_url
    engine, memory, shipments = connect(url), Memory(), bad_release()
    connection = await asyncpg.connect(url)
    try:
        await lay(url, shipments[:5])
        while await turn_once(engine, settings, memory=memory) is not None:
            continue
        if corrupt is not None:
            (row,) = await rows_of(url, STATE)
            assert await rows_of(url, CORRUPT, row["watch_id"], corrupt(row["state"]))
            memory.forget()
        before = await rows_of(url, OF_LOSS)
        for predictions, labels in shipments[5:]:
            await ship(connection, predictions, labels)
        while await turn_once(engine, settings, memory=memory) is not None:
            continue
        return before
    finally:
        await connection.close()
        await engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(module_database: str) -> tuple[list[Any], list[Any]]:
    """States and alarms of the other watches where none fails."""
    asyncio.run(run(settings_for(module_database), None))
    return asyncio.run(outcome(module_database))


async def outcome(url: str) -> tuple[list[Any], list[Any]]:
    return await rows_of(url, OTHERS), await rows_of(url, ALARMS)


@pytest.mark.parametrize("corrupt", [no_state, no_detector])
def test_a_watch_that_fails_stops_alone_says_so_and_begins_anew(
    database: str, undisturbed: tuple[list[Any], list[Any]], corrupt: Corrupt
) -> None:
    settings = settings_for(database)
    before = asyncio.run(run(settings, corrupt))
    assert undisturbed[1]
    assert asyncio.run(outcome(database)) == undisturbed
    # Of the one that failed not a row has changed.
    assert asyncio.run(rows_of(database, OF_LOSS)) == before
    with monitor_api(settings) as client:
        says_so_and_begins_anew(client, len(before))
    assert asyncio.run(rows_of(database, OF_LOSS)) == []


def says_so_and_begins_anew(client: httpx.Client, subjects: int) -> None:
    listed = {one["name"]: one for one in client.get("/v1/watches").json()}
    failed = [name for name, one in listed.items() if one["failed_at"] is not None]
    assert failed == ["loss"]
    assert "Error" in listed["loss"]["failure"]
    health = client.get("/v1/applications/market/health").json()["watches"]
    told = [one for one in health if one["watch"] == "loss"]
    assert len(told) == subjects
    assert {one["status"] for one in told if one["in_service"]} == {"failed"}
    assert all(one["status_reason"].startswith("Not watched since ") for one in told)
    assert client.get("/v1/applications/market/signals/loss").status_code == 200
    text = client.get("/metrics").text
    assert 'status="failed",tier="page",watch="loss"' in text
    assert 'watches_failed_total{application="market",watch="loss"}' in text
    there = f"/v1/watches/{listed['loss']['id']}"
    off = client.patch(there, json={"enabled": False}).json()
    assert off["failed_at"] is not None
    health = client.get("/v1/applications/market/health").json()["watches"]
    seen = {(one["status"], one["status_reason"]) for one in health if one["watch"] == "loss"}
    assert ("disabled", "It is not enabled.") in seen
    anew = client.patch(there, json={"enabled": True}).json()
    assert (anew["enabled"], anew["failed_at"], anew["failure"]) == (True, None, None)
