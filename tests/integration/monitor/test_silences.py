"""What a silence holds back, what goes out all the same, and what is told when it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.alerts.incident_text import markdown
from monitor.alerts.telling import close_alert, settle_inhibition
from monitor.channels.outbox import send_due
from monitor.raising import close_stale
from monitor.records import Alert
from monitor.settings import Mode, Settings, Tier
from monitor.store import alerts as store
from monitor.store import registry as registry_store
from monitor.store.database import connect
from tests.support.alert_store import MARKET, add_webhook, open_alert, tell_of
from tests.support.fake_serving import FakeServing
from tests.support.http_server import http_server
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import GUARDED, rows_of, settings_for
from tests.support.raised import act, add_watch, alarm
from tests.support.shipped import set_up_application

TOLD = "SELECT event, webhook_id, body -> 'data' AS data FROM deliveries ORDER BY sequence"


@dataclass
class House:
    """A monitor with one webhook, an application with two versions, and a clock that is turned."""

    url: str
    engine: AsyncEngine
    settings: Settings
    now: datetime

    def clock(self) -> datetime:
        return self.now

    async def silence(self, *, hours: float = 1, kind: str | None = None) -> int:
        async with self.engine.begin() as connection:
            made = await store.add_silence(
                connection,
                application_id=1,
                kind=kind,
                until=self.now + timedelta(hours=hours),
                author="anna",
                reason="moving house",
            )
        return made.id

    async def look(self) -> None:
        """What every turn does in the end."""
        async with self.engine.begin() as connection:
            registry = await registry_store.read_registry(connection)
            await close_stale(connection, registry, registry.applications, self.clock)

    async def close(self, alert: Alert) -> None:
        async with self.engine.begin() as connection:
            alert = await store.lock_alert(connection, alert.id)
            await close_alert(connection, alert, MARKET, "me", "mended", clock=self.clock)

    async def told(self) -> list[str]:
        return [row["event"] for row in await rows_of(self.url, TOLD)]

    async def text(self) -> str:
        """Of the last delivery."""
        connection = await asyncpg.connect(self.url)
        try:
            text: str = await connection.fetchval(
                "SELECT body -> 'data' ->> 'text' FROM deliveries ORDER BY sequence DESC LIMIT 1"
            )
            return text
        finally:
            await connection.close()


async def set_up(url: str) -> None:
    connection = await asyncpg.connect(url)
    await set_up_application(connection, versions=("1", "2"), policies=GUARDED)
    await connection.close()


def in_house(url: str, check: Callable[[House], Awaitable[None]], **changes: Any) -> None:
    """Run a check in a fresh one, whose clock is far from that of Postgres."""

    async def whole() -> None:
        await set_up(url)
        await add_webhook(url, "http://127.0.0.1:9/")
        engine = connect(url)
        now = datetime.now(UTC) + timedelta(days=400)
        try:
            await check(House(url, engine, settings_for(url, **changes), now))
        finally:
            await engine.dispose()

    asyncio.run(whole())


def test_nothing_breaks_through_and_what_was_done_meanwhile_is_told_once_at_the_end(
    database: str,
) -> None:
    async def check(house: House) -> None:
        rolls = await add_watch(house.engine, "rolls", [{"kind": "roll_back"}, {"kind": "page"}])
        await house.silence()
        await alarm(house.engine, house.settings, rolls, "2", house.clock)
        with http_server(lambda _: (422, {"code": "not_ready", "detail": "no"})) as serving:
            # It fails, and its rule pages after it: that is no reason to wake who asked for quiet.
            await act(house.engine, house.settings, serving.url, house.clock)
        await house.look()
        assert await house.told() == []
        house.now += timedelta(hours=1)
        await house.look()
        await house.look()
        assert await house.told() == ["alert.firing"]
        text = await house.text()
        assert "Why now: the silence has ended, and it still stands." in text
        assert "Remedy 1 (roll back to the version before) failed: " in text

    in_house(database, check, remedy_mode=Mode.ACT)


def test_what_was_held_back_is_in_the_record_of_the_incident_with_who_asked_for_it(
    database: str,
) -> None:
    async def check(house: House) -> None:
        rolls = await add_watch(house.engine, "rolls", [{"kind": "roll_back"}])
        await house.silence()
        await alarm(house.engine, house.settings, rolls, "2", house.clock)
        with http_server(FakeServing(database)) as serving:
            await act(house.engine, house.settings, serving.url, house.clock)
        held = await rows_of(
            database,
            "SELECT detail ->> 'event' AS event FROM alert_events WHERE event = 'held_back'"
            " ORDER BY id",
        )
        assert [line["event"] for line in held] == ["alert.firing", "remedy.acted"]

    in_house(database, check, remedy_mode=Mode.ACT)
    with monitor_api(settings_for(database)) as client:
        said = markdown(client.get("/v1/incidents/1").json())
    assert "alert.firing held back: silent until " in said
    assert " UTC by anna: moving house" in said


def test_somebody_who_takes_it_meanwhile_is_named_as_it_stands_when_the_silence_ends(
    database: str,
) -> None:
    async def check(house: House) -> None:
        alert = await open_alert(house.engine, "loss")
        await house.silence()
        await tell_of(house.engine, alert, "alert.firing", house.clock)
        async with house.engine.begin() as connection:
            alert = await store.change_alert(connection, alert.id, state="acknowledged")
        await tell_of(house.engine, alert, "alert.acknowledged", house.clock)
        house.now += timedelta(hours=1)
        await house.look()
        await house.look()
        assert await house.told() == ["alert.acknowledged"]

    in_house(database, check)


def test_a_silence_in_which_nothing_happens_makes_no_news_of_what_stood_before(
    database: str,
) -> None:
    async def check(house: House) -> None:
        alert = await open_alert(house.engine, "loss")
        await tell_of(house.engine, alert, "alert.firing", house.clock)
        await house.silence()
        await house.look()
        house.now += timedelta(hours=1)
        await house.look()
        assert await house.told() == ["alert.firing"]

    in_house(database, check)


def test_the_end_goes_through_a_silence_to_who_knew_and_to_nobody_else(database: str) -> None:
    async def check(house: House) -> None:
        known = await open_alert(house.engine, "loss")
        await tell_of(house.engine, known, "alert.firing", house.clock)
        await house.silence()
        unknown = await open_alert(house.engine, "quality")
        await tell_of(house.engine, unknown, "alert.firing", house.clock)
        await house.close(known)
        await house.close(unknown)
        house.now += timedelta(hours=1)
        await house.look()
        told = await rows_of(database, TOLD)
        assert [(t["event"], '"kind": "loss"' in t["data"]) for t in told] == [
            ("alert.firing", True),
            ("alert.resolved", True),
        ]

    in_house(database, check)


def test_a_silence_acts_when_a_delivery_is_written_and_not_when_it_is_sent(database: str) -> None:
    async def check(house: House) -> None:
        alert = await open_alert(house.engine, "loss")
        await tell_of(house.engine, alert, "alert.firing", house.clock)
        await house.silence()
        await tell_of(house.engine, alert, "alert.firing", house.clock)
        with http_server(lambda _: (200, {})) as receiver:
            await rows_of(database, "UPDATE webhooks SET url = $1 RETURNING 1", receiver.url)
            async with httpx.AsyncClient(trust_env=False) as client:
                sent = await send_due(house.engine, client, house.settings, house.clock)
        assert sent == 1

    in_house(database, check, webhook_allow_private=True)


def test_a_silence_begins_and_ends_by_the_clock_of_the_monitor(database: str) -> None:
    now = datetime.now(UTC) + timedelta(days=400)
    body = {"application": "market", "reason": "moving"}
    with monitor_api(settings_for(database), clock=lambda: now) as client:
        asyncio.run(set_up(database))
        past = client.post("/v1/silences", json=body | {"until": now.isoformat()})
        assert past.status_code == 422
        until = now + timedelta(minutes=5)
        made = client.post("/v1/silences", json=body | {"until": until.isoformat()}).json()
        assert datetime.fromisoformat(made["created_at"]) == now
        assert made["author"] == "admin"
        assert [one["id"] for one in client.get("/v1/silences").json()] == [made["id"]]
        now = until
        assert client.get("/v1/silences").json() == []


def test_a_silence_of_one_kind_holds_no_other_back_but_what_its_alert_explains(
    database: str,
) -> None:
    async def check(house: House) -> None:
        await house.silence(kind="loss")
        loss = await open_alert(house.engine, "loss")
        feature = await open_alert(house.engine, "feature")
        latency = await open_alert(house.engine, "service.latency")
        async with house.engine.begin() as connection:
            await settle_inhibition(connection, MARKET, clock=house.clock)
        for opened in (loss, feature, latency):
            async with house.engine.begin() as connection:
                alert = await store.lock_alert(connection, opened.id)
            await tell_of(house.engine, alert, "alert.firing", house.clock)
        assert await house.told() == ["alert.firing"]
        assert "errs" not in (await house.text()).splitlines()[0]
        # What explained it ends in silence; it stands, is no longer explained, and is not silenced.
        await house.close(loss)
        assert await house.told() == ["alert.firing", "alert.firing"]
        assert "which explained it, no longer does" in await house.text()

    in_house(database, check)


def test_what_somebody_took_while_it_was_explained_is_told_when_it_no_longer_is(
    database: str,
) -> None:
    async def check(house: House) -> None:
        before = await open_alert(house.engine, "feature", subject="2|region=north")
        while_explained = await open_alert(house.engine, "feature")
        await tell_of(house.engine, before, "alert.firing", house.clock)
        async with house.engine.begin() as connection:
            before = await store.change_alert(connection, before.id, state="acknowledged")
        await tell_of(house.engine, before, "alert.acknowledged", house.clock)
        loss = await open_alert(house.engine, "loss")
        async with house.engine.begin() as connection:
            await settle_inhibition(connection, MARKET, clock=house.clock)
            taken = await store.change_alert(connection, while_explained.id, state="acknowledged")
        await tell_of(house.engine, taken, "alert.acknowledged", house.clock)
        told = await house.told()
        assert told == ["alert.firing", "alert.acknowledged"]
        await house.close(loss)
        assert await house.told() == [*told, "alert.acknowledged"]

    in_house(database, check)


def test_a_page_that_makes_an_explained_alert_graver_than_what_explains_it_is_told(
    database: str,
) -> None:
    async def check(house: House) -> None:
        informs = await add_watch(house.engine, "informs", [{"kind": "notify"}], tier=Tier.INFO)
        pages = await add_watch(house.engine, "pages", [{"kind": "page"}], tier=Tier.INFO)
        worse = await add_watch(
            house.engine, "worse", [{"kind": "notify"}], tier=Tier.INFO, signal="loss_difference"
        )
        await alarm(house.engine, house.settings, informs, "2", house.clock)
        await alarm(house.engine, house.settings, worse, "2,1", house.clock)
        assert await house.told() == ["alert.firing", "alert.firing"]
        await alarm(house.engine, house.settings, pages, "2", house.clock)
        told = await rows_of(database, "SELECT state, tier, inhibited_by FROM alerts WHERE id = 1")
        assert told == [{"state": "firing", "tier": "page", "inhibited_by": None}]
        assert await house.told() == ["alert.firing", "alert.firing", "alert.firing"]
        assert (await house.text()).startswith("PAGE")

    in_house(database, check)
