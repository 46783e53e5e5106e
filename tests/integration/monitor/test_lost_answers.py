"""What a fault leaves open is not taken for done: a failed turn, a call whose answer was lost."""

import asyncio
from typing import Any

import asyncpg
import pytest

from monitor.loop import Pulse, run
from monitor.settings import Mode
from monitor.store.database import connect
from tests.support.fake_serving import FakeServing
from tests.support.http_server import Call, http_server
from tests.support.monitoring import bad_release, lay, rows_of, settings_for
from tests.support.postgres import execute
from tests.support.raised import act, add_watch, alarm, remedies_of
from tests.support.shipped import set_up_application


def test_a_monitor_whose_turn_failed_has_not_caught_up(database: str, postgres_url: str) -> None:
    name = database.rpartition("/")[2]

    async def eventually(pulse: Pulse, *, caught_up: bool) -> None:
        for _ in range(1500):
            if pulse.caught_up is caught_up and pulse.last_turn_at is not None:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"caught_up never was {caught_up}")

    async def check() -> None:
        engine, pulse = connect(database), Pulse()
        working = asyncio.create_task(run(engine, settings_for(database), pulse))
        await eventually(pulse, caught_up=True)
        cut = [
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        ]
        for statement in cut:
            await asyncio.to_thread(execute, postgres_url, statement)
        pulse.wake.set()
        await eventually(pulse, caught_up=False)
        assert pulse.last_error
        await asyncio.to_thread(
            execute, postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"
        )
        await eventually(pulse, caught_up=True)
        assert not working.done()
        working.cancel()
        await asyncio.wait([working])
        await engine.dispose()

    asyncio.run(lay(database, bad_release(shipments=2)))
    asyncio.run(check())


@pytest.mark.parametrize("forgets", [False, True], ids=["serving knows the key", "serving forgot"])
def test_a_rollback_whose_answer_was_lost_steps_back_once(database: str, forgets: bool) -> None:
    serving = FakeServing(database)
    calls: list[Call] = []

    def serve(call: Call) -> tuple[int, Any]:
        if call.method == "POST":
            calls.append(call)
            if forgets:
                serving.known.clear()
        return serving(call)

    async def check(url: str) -> None:
        connection = await asyncpg.connect(database)
        three = [{"kind": "single", "champion": f"price:{n}"} for n in (1, 2, 3)]
        await set_up_application(connection, versions=("1", "2", "3"), policies=three)
        await connection.close()
        engine = connect(database)
        settings = settings_for(database, remedy_mode=Mode.ACT)
        watch = await add_watch(engine, "guard", [{"kind": "roll_back"}])
        await alarm(engine, settings, watch, "3")
        # It acts and its answer is lost; then it is away; then it is asked once more.
        serving.moods.extend(["loses", "away"])
        for _ in range(3):
            await act(engine, settings, url)
            await rows_of(
                database,
                "UPDATE remedies SET next_attempt_at = now() WHERE state = 'decided' RETURNING 1",
            )
        (remedy,) = await remedies_of(engine)
        assert (remedy.state, remedy.to_revision) == ("acted", 4)
        await engine.dispose()

    with http_server(serve) as server:
        asyncio.run(check(server.url))
    made = asyncio.run(
        rows_of(database, "SELECT revision, restores FROM revisions WHERE revision > 3")
    )
    assert made == [{"revision": 4, "restores": 2}]
    # The step is named in every call, and each is the same call.
    assert {c.body["to_revision"] for c in calls} == {2}
    assert len({c.headers["idempotency-key"] for c in calls}) == 1
