"""How much the outbox sends at once, how long it tries, and where what it gave up is seen."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.channels.outbox import AT_ONCE, AT_ONCE_EACH, send_due
from monitor.settings import Settings
from monitor.store import webhooks as store
from monitor.store.database import connect
from monitor.wall_clock import utc_now
from tests.support.alert_store import add_webhook, open_alert, tell_of
from tests.support.http_server import Call, http_server
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import rows_of, settings_for

STATES = "SELECT id, state, attempts FROM deliveries ORDER BY sequence"


def settings_of(url: str, **changes: Any) -> Settings:
    return settings_for(url, webhook_allow_private=True, **changes)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = utc_now() + timedelta(seconds=5)

    def __call__(self) -> datetime:
        return self.now


async def go_on(engine: AsyncEngine, settings: Settings, clock: Clock, *steps: timedelta) -> None:
    """Send what is due, after each step of time."""
    async with httpx.AsyncClient(trust_env=False) as client:
        for step in steps:
            clock.now += step
            await send_due(engine, client, settings, clock)


class Crowd:
    """A receiver that answers once so many callers are there as may be at most."""

    def __init__(self) -> None:
        self.here: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_in_all = 0
        self.full = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.here[path] += 1
        self.most[path] = max(self.most[path], self.here[path])
        self.most_in_all = max(self.most_in_all, self.here.total())
        if self.here.total() >= AT_ONCE:
            self.full.set()
        await asyncio.wait_for(self.full.wait(), 60)
        # Who is one too many would be seen here.
        await asyncio.sleep(0.05)
        self.here[path] -= 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


def test_thirty_two_go_out_at_once_and_four_of_them_to_one_webhook(database: str) -> None:
    async def check() -> None:
        crowd = Crowd()
        server = await asyncio.start_server(crowd, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for number in range(10):
            await add_webhook(database, f"http://127.0.0.1:{port}/{number}")
        engine, clock = connect(database), Clock()
        for number in range(6):
            alert = await open_alert(engine, "loss", subject=str(number))
            await tell_of(engine, alert, "alert.firing")
        settings = settings_of(database, webhook_timeout=timedelta(seconds=60))
        await go_on(engine, settings, clock, timedelta(0))
        await engine.dispose()
        server.close()
        assert crowd.most_in_all == AT_ONCE == 32
        assert max(crowd.most.values()) == AT_ONCE_EACH == 4

    asyncio.run(check())
    found = asyncio.run(rows_of(database, STATES))
    assert [(d["state"], d["attempts"]) for d in found] == [("delivered", 1)] * 60


def test_how_long_a_delivery_is_tried_counts_from_its_own_first_attempt(database: str) -> None:
    clock = Clock()
    mended = clock.now + timedelta(minutes=95)

    async def check(receiver: str) -> None:
        await add_webhook(database, receiver)
        engine = connect(database)
        alert = await open_alert(engine, "loss")
        # The second waits for the first, for as long as that is tried.
        for event in ("alert.firing", "alert.acknowledged"):
            await tell_of(engine, alert, event)
        settings = settings_of(database, webhook_patience=timedelta(hours=1))
        await go_on(engine, settings, clock, *[timedelta(minutes=10)] * 12)
        await engine.dispose()

    def answer(_: Call) -> tuple[int, Any]:
        return (200 if clock.now >= mended else 500), {}

    with http_server(answer) as server:
        asyncio.run(check(server.url))
    first, second = asyncio.run(rows_of(database, STATES))
    assert (first["state"], second["state"]) == ("dead", "delivered")
    assert first["attempts"] > 2
    assert second["attempts"] > 2
    ids = [call.headers["webhook-id"] for call in server.calls]
    assert ids == [str(first["id"])] * first["attempts"] + [str(second["id"])] * second["attempts"]


@pytest.mark.parametrize(("hours", "state"), [(23, "delivered"), (25, "dead")])
def test_a_delivery_is_tried_for_a_day_and_then_given_up(
    database: str, hours: int, state: str
) -> None:
    clock = Clock()
    mended = clock.now + timedelta(hours=hours)

    async def check(receiver: str) -> None:
        await add_webhook(database, receiver)
        engine = connect(database)
        await tell_of(engine, await open_alert(engine, "loss"), "alert.firing")
        # Nothing is set: a day is what everybody gets.
        await go_on(engine, settings_of(database), clock, *[timedelta(minutes=30)] * 54)
        await engine.dispose()

    with http_server(lambda _: (200 if clock.now >= mended else 503, {})) as server:
        asyncio.run(check(server.url))
    [one] = asyncio.run(rows_of(database, STATES))
    assert one["state"] == state
    assert one["attempts"] == len(server.calls) > 40


def test_a_body_that_cannot_be_made_holds_up_no_other(database: str) -> None:
    async def check(receiver: str) -> None:
        broken = await add_webhook(database, receiver, format="alertmanager")
        await add_webhook(database, receiver)
        engine = connect(database)
        alert = await open_alert(engine, "loss")
        await tell_of(engine, alert, "alert.firing")
        spoil = "UPDATE deliveries SET body = body #- '{data,since}' WHERE webhook_id = $1"
        await rows_of(database, f"{spoil} RETURNING 1", broken)
        await go_on(engine, settings_of(database), Clock(), timedelta(0))
        await engine.dispose()

    with http_server(lambda _: (200, {})) as server:
        asyncio.run(check(server.url))
    assert len(server.calls) == 1
    found = asyncio.run(rows_of(database, STATES))
    assert [(d["state"], d["attempts"]) for d in found] == [("waiting", 1), ("delivered", 1)]
    [attempt] = asyncio.run(
        rows_of(database, "SELECT error FROM delivery_attempts WHERE status IS NULL")
    )
    assert attempt["error"] == "KeyError: 'since'"


def deleting(url: str, number: int) -> Callable[[], None]:
    async def delete() -> None:
        engine = connect(url)
        async with engine.begin() as connection:
            await store.delete_webhook(connection, number)
        await engine.dispose()

    return lambda: asyncio.run(delete())


def test_a_webhook_that_was_deleted_is_tried_no_more_not_even_from_under_way(
    database: str,
) -> None:
    clock = Clock()
    delete = deleting(database, 1)

    def answer(_: Call) -> tuple[int, Any]:
        if len(server.calls) >= 2:
            delete()
        return 500, {}

    async def check(receiver: str) -> None:
        assert await add_webhook(database, receiver) == 1
        engine = connect(database)
        alert = await open_alert(engine, "loss")
        for event in ("alert.firing", "alert.acknowledged"):
            await tell_of(engine, alert, event)
        await go_on(engine, settings_of(database), clock, *[timedelta(hours=1)] * 6)
        await engine.dispose()

    with http_server(answer) as server:
        asyncio.run(check(server.url))
    assert len(server.calls) == 2
    found = asyncio.run(rows_of(database, STATES))
    assert [(d["state"], d["attempts"]) for d in found] == [("dead", 2), ("dead", 0)]


def test_a_dead_letter_is_counted_shown_with_every_attempt_and_sent_again_on_request(
    database: str,
) -> None:
    clock, settings = Clock(), settings_of(database, webhook_patience=timedelta(minutes=30))
    works = False

    def answer(_: Call) -> tuple[int, Any]:
        return (200 if works else 503), {}

    async def begin(receiver: str) -> None:
        await add_webhook(database, receiver)
        engine = connect(database)
        await tell_of(engine, await open_alert(engine, "loss"), "alert.firing")
        await go_on(engine, settings, clock, *[timedelta(minutes=10)] * 6)
        await engine.dispose()

    async def again() -> None:
        engine = connect(database)
        await go_on(engine, settings, clock, timedelta(minutes=1))
        await engine.dispose()

    with http_server(answer) as server, monitor_api(settings) as client:
        asyncio.run(begin(server.url))
        [webhook] = client.get("/v1/webhooks").json()
        assert webhook["dead"] == 1
        path = f"/v1/webhooks/{webhook['id']}/deliveries"
        [dead] = client.get(path, params={"state": "dead"}).json()
        assert dead["state"] == "dead"
        assert {one["status"] for one in dead["attempts"]} == {503}
        assert len(dead["attempts"]) == len(server.calls) > 1
        works = True
        assert client.post(f"{path}/{dead['id']}/redeliver").status_code in (200, 202)
        asyncio.run(again())
        assert client.get(path, params={"state": "dead"}).json() == []
        [sent] = client.get(path).json()
        assert (sent["id"], sent["state"]) == (dead["id"], "delivered")
    assert len({call.headers["webhook-id"] for call in server.calls}) == 1
