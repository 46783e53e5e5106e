"""A watch whose detector has no guarantee acts through a confirm gate, killed in between or not."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import asyncpg
import httpx

from migrations.upgrade import upgrade
from monitor.settings import Mode
from tests.integration.monitor.test_acting import act, make_rollback
from tests.support.http_server import Call, http_server
from tests.support.monitor_api import listening, monitor_api
from tests.support.monitoring import alarms_of, bad_release, catch_up, lay, rows_of, settings_for
from tests.support.postgres import sqlalchemy_url
from tests.support.shipped import ship

GATE = {
    "name": "loss_gate",
    "detector": "confirm-gate",
    "tier": "rollback",
    "settings": {"opened_by": "adwin", "opener": {"clock": 4}, "patience": 200, "block": 5},
    "remedy": "roll_back",
    "mode": "act",
}
TURNS = """
import asyncio, sys
from monitor.loop import turn_once
from monitor.settings import Settings
from monitor.store.database import connect

async def main():
    settings = Settings(database_url=sys.argv[1], turn_rows=1, remedy_mode="act")
    engine = connect(settings.database_url)
    while await turn_once(engine, settings) is not None:
        print("turned", flush=True)
    await engine.dispose()

asyncio.run(main())
"""
"""The loop's own turns, one shipment each."""
BEFORE_KILL = 8
"""Turns until the process is killed: the bad version has answered in two, and nothing is sure."""


def watched(url: str) -> None:
    """Make the gate the only watch, over REST, and lay the record of a bad release."""

    async def laid() -> None:
        await lay(url, [])

    async def shipped() -> None:
        connection = await asyncpg.connect(url)
        for predictions, feedback in bad_release():
            await ship(connection, predictions, feedback)
        await connection.close()

    asyncio.run(laid())
    with monitor_api(settings_for(url)) as client:
        wish = {"watches": [GATE], "defaults": False}
        answer = client.put("/v1/applications/market/watches", json=wish)
        assert answer.status_code == 200, answer.text
        made = [one for one in answer.json()["watches"] if one["enabled"]]
        assert [(one["name"], one["budget_per_year"]) for one in made] == [("loss_gate", 0.05)]
    asyncio.run(shipped())


def killed_after(url: str, turns: int) -> None:
    """Let a process take turns, and kill it in the middle of one."""
    command = [sys.executable, "-c", TURNS, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(turns):
            assert process.stdout.readline() == "turned\n"
        os.kill(process.pid, signal.SIGKILL)


def test_a_gate_made_over_rest_confirms_alarms_and_rolls_back_through_a_kill(
    database: str, empty_database: str
) -> None:
    asyncio.run(upgrade(sqlalchemy_url(empty_database)))
    for url in (database, empty_database):
        watched(url)
    asyncio.run(catch_up(settings_for(empty_database, remedy_mode=Mode.ACT)))
    killed_after(database, BEFORE_KILL)
    asyncio.run(catch_up(settings_for(database, remedy_mode=Mode.ACT, turn_rows=1)))
    alarms = asyncio.run(alarms_of(database))
    assert alarms == asyncio.run(alarms_of(empty_database))
    assert {(name, subject) for name, subject, *_ in alarms} == {("loss_gate", "2")}
    told = "SELECT evidence->'confirmed' AS confirmed, evidence->'steps' AS steps FROM alarms"
    undisturbed = asyncio.run(rows_of(empty_database, f"{told} ORDER BY id"))
    assert asyncio.run(rows_of(database, f"{told} ORDER BY id")) == undisturbed

    def serve(call: Call) -> tuple[int, Any]:
        asyncio.run(make_rollback(database, call))
        return 200, {"application": "market", "revision": 3}

    with http_server(serve) as serving:
        assert asyncio.run(act(database, serving.url)) == 1
    assert [call.path for call in serving.calls] == ["/v1/applications/market/rollback"]
    with listening(settings_for(database)) as address:
        headers = {"Authorization": "Bearer lsm_reader"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            _told_to_people(client)


def _told_to_people(client: httpx.Client) -> None:
    (alert,) = client.get("/v1/alerts").json()
    assert (alert["kind"], alert["tier"], alert["versions"]) == ("loss", "rollback", "price:2")
    text = client.get(f"/v1/alerts/{alert['id']}").json()["text"]
    assert "fresh steps after adwin suspected a change: " in text
    assert "At most one false alarm in 20 years is expected of this watch" in text
    assert "Nothing is assumed of adwin." in text
    (remedy,) = client.get("/v1/remedies").json()
    assert (remedy["state"], remedy["to_version"], remedy["to_revision"]) == ("acted", "price:1", 3)
    ledger = client.get("/v1/applications/market/budget").json()["tiers"][0]
    (spent,) = ledger["watches"]
    assert (spent["name"], spent["head_starts"], spent["alarms"]) == ("loss_gate", 0.0, 1)
    # Less than time bought in all: rows before the delays of labels were known bought nothing.
    assert 0.5 * ledger["granted"] < spent["spent"] <= ledger["granted"]
