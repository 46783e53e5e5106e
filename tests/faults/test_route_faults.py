"""Was the route changed everywhere? Asked of real serving processes, one of which stands still."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitor.remedies.actor import act_on_due
from monitor.remedies.settling import settle
from monitor.serving_client import ServingClient
from monitor.settings import Mode
from monitor.store.database import connect
from monitor.wall_clock import utc_now
from tests.support.monitoring import settings_for
from tests.support.raised import add_watch, alarm, remedies_of
from tests.support.serving import ADMIN_KEY, ServingProcess, artefact, reference, register, single

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

APPLICATION = {"name": "fraud", "task": "binary", "latency_objective_ms": 5000}


@pytest.fixture
def workers(database: str, tmp_path: Path) -> Iterator[ServingProcess]:
    """Two workers behind one port; m:2 answers, and m:1 did before."""
    process = ServingProcess(database, tmp_path, SERVING_WORKERS="2", SERVING_DEPLOY_TIMEOUT="60")
    process.start()
    try:
        client = process.client
        assert client.post("/v1/applications", json=APPLICATION).status_code == 201
        for version, inverted in (("1", False), ("2", True)):
            data, rows = artefact(inverted=inverted), reference(inverted=inverted)
            assert register(client, version, data, reference=rows).status_code == 201
            answer = client.put("/v1/applications/fraud/route", json=single(f"m:{version}"))
            assert answer.status_code == 200
        yield process
    finally:
        process.stop()
        process.client.close()


def not_talking(workers: ServingProcess) -> psutil.Process:
    """The worker to which this process holds no connection."""
    mine = {c.laddr.port for c in psutil.Process().net_connections("tcp") if c.laddr}
    for worker in workers.workers().values():
        ends = {c.raddr.port for c in worker.net_connections("tcp") if c.raddr}
        if not ends & mine:
            return worker
    raise AssertionError("both workers hold a connection")


def test_a_worker_that_stands_still_is_named_until_it_has_switched(
    workers: ServingProcess, database: str
) -> None:
    settings = settings_for(database, remedy_mode=Mode.ACT, route_settle="PT0.1S")
    workers.client.close()

    async def check() -> None:
        engine = connect(database)
        client = ServingClient(str(workers.with_key(ADMIN_KEY).base_url), ADMIN_KEY)

        async def checked(*, everywhere: bool) -> dict[str, Any]:
            for _ in range(300):
                await settle(engine, client, settings, utc_now)
                (remedy,) = await remedies_of(engine)
                found = remedy.route_check
                if found is not None and found["everywhere"] is everywhere:
                    return found
                await asyncio.sleep(0.1)
            raise AssertionError(f"expected everywhere={everywhere}: {found}")

        watch = await add_watch(engine, "guard", [{"kind": "roll_back"}])
        # Its one connection stays with the worker that answers it now; the other is stopped.
        await client.route_of("fraud")
        still = not_talking(workers)
        still.send_signal(signal.SIGSTOP)
        try:
            await alarm(engine, settings, watch, "2")
            await act_on_due(engine, client, settings, utc_now)
            (remedy,) = await remedies_of(engine)
            assert (remedy.state, remedy.to_revision) == ("acted", 3)
            found = await checked(everywhere=False)
            behind = [one for one in found["processes"] if not one["in_force"]]
            assert len(found["processes"]) == 2
            assert [one["revision"] for one in behind] == [2]
            assert behind[0]["name"] in found["reason"]
            assert not found["done"]
        finally:
            still.send_signal(signal.SIGCONT)
        found = await checked(everywhere=True)
        assert found["done"]
        assert {one["revision"] for one in found["processes"]} == {3}
        assert "2 living processes answer by it" in found["reason"]
        await client.close()
        await engine.dispose()

    asyncio.run(check())
