"""Alerts over a real record: grouped, explained by worse ones, silenced, ended by a test."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import asyncpg

from monitor.alerts.telling import close_alert, settle_inhibition
from monitor.raising import close_stale
from monitor.settings import Tier
from monitor.store import alerts as store
from monitor.store import registry as registry_store
from monitor.store.database import connect
from monitor.wall_clock import utc_now
from tests.support.alert_store import MARKET, add_webhook, open_alert, tell_of
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.shipped import START, Feedback, Prediction, prediction_id, ship

EVENTS = "SELECT event, body -> 'data' ->> 'kind' AS kind FROM deliveries ORDER BY sequence"


def test_a_worse_alert_explains_lesser_ones_and_frees_them_when_it_ends(database: str) -> None:
    async def check() -> None:
        await lay(database, [])
        await add_webhook(database, "http://127.0.0.1:9/")
        engine = connect(database)
        feature = await open_alert(engine, "feature")
        other = await open_alert(engine, "feature", subject="1")
        loss = await open_alert(engine, "loss")
        async with engine.begin() as connection:
            await settle_inhibition(connection, MARKET, clock=utc_now)
        for number in (feature.id, other.id, loss.id):
            async with engine.begin() as connection:
                await store.lock_alert(connection, number)
            found = await rows_of(database, "SELECT * FROM alerts WHERE id = $1", number)
            assert found[0]["inhibited_by"] == (loss.id if number == feature.id else None)
        async with engine.begin() as connection:
            explained = await store.lock_alert(connection, feature.id)
        await tell_of(engine, explained, "alert.firing")
        await tell_of(engine, loss, "alert.firing")
        told = await rows_of(database, EVENTS)
        assert [(t["event"], t["kind"]) for t in told] == [("alert.firing", "loss")]
        async with engine.begin() as connection:
            await close_alert(connection, loss, MARKET, "monitor", "gone", clock=utc_now)
        told = await rows_of(database, EVENTS)
        assert [(t["event"], t["kind"]) for t in told][1:] == [
            ("alert.resolved", "loss"),
            ("alert.firing", "feature.area"),
        ]
        history = await rows_of(
            database, "SELECT event FROM alert_events WHERE alert_id = $1 ORDER BY id", feature.id
        )
        assert [h["event"] for h in history] == ["inhibited", "released"]
        await engine.dispose()

    asyncio.run(check())


def test_what_a_silence_held_back_is_told_when_it_ends_and_an_end_only_to_who_knew(
    database: str,
) -> None:
    async def check() -> None:
        await lay(database, [])
        await add_webhook(database, "http://127.0.0.1:9/")
        engine = connect(database)

        async def stale() -> None:
            async with engine.begin() as connection:
                registry = await registry_store.read_registry(connection)
                await close_stale(connection, registry, registry.applications, utc_now)

        await rows_of(
            database,
            "INSERT INTO silences (application_id, until, author, reason) "
            "VALUES (1, now() + interval '1 hour', 'me', 'moving') RETURNING 1",
        )
        still = await open_alert(engine, "loss", subject="1")
        gone = await open_alert(engine, "quality", subject="1")
        for alert in (still, gone):
            await tell_of(engine, alert, "alert.firing")
        await stale()
        async with engine.begin() as connection:
            await close_alert(connection, gone, MARKET, "me", "mended", clock=utc_now)
        assert await rows_of(database, EVENTS) == []
        await rows_of(database, "UPDATE silences SET until = now() RETURNING 1")
        await stale()
        await stale()
        told = await rows_of(database, EVENTS)
        assert [(t["event"], t["kind"]) for t in told] == [("alert.firing", "loss")]
        await engine.dispose()

    asyncio.run(check())


def test_an_alert_of_a_bad_stretch_resolves_by_a_test_once_it_is_over(database: str) -> None:
    rng = random.Random(11)

    async def stretch(start: timedelta, rate: float, rows: int) -> None:
        connection = await asyncpg.connect(database)
        predictions, labels = [], []
        for i in range(rows):
            at = START + start + timedelta(seconds=5 * i)
            identifier = prediction_id(at, rng)
            predictions.append(Prediction(identifier, at, 2, int(rng.random() < rate), revision=2))
            labels.append(Feedback(identifier, at + timedelta(seconds=1), 0))
        await ship(connection, predictions, labels)
        await connection.close()

    async def states() -> list[dict[str, Any]]:
        return await rows_of(
            database,
            "SELECT state, recovery FROM alerts WHERE kind = 'loss' AND subject = '2' ORDER BY id",
        )

    async def check() -> None:
        await lay(database, [])
        settings = settings_for(database)
        await stretch(timedelta(0), 0.5, 300)
        await catch_up(settings)
        assert [s["state"] for s in await states()] == ["firing"]
        # As bad as before: however silent the detector is, it stands.
        await stretch(timedelta(hours=1), 0.3, 100)
        await catch_up(settings)
        assert [s["state"] for s in await states()] == ["firing"]
        await stretch(timedelta(hours=2), 0.05, 1500)
        await catch_up(settings)
        assert [s["state"] for s in await states()] == ["resolved"]
        reason = await rows_of(
            database, "SELECT detail FROM alert_events WHERE event = 'resolved' ORDER BY id"
        )
        assert any("test of recovery" in r["detail"] for r in reason)

    asyncio.run(check())


def test_a_bad_release_is_one_alarm_of_each_watch_however_often_it_is_said_again(
    database: str,
) -> None:
    async def check() -> None:
        await lay(database, bad_release())
        await catch_up(settings_for(database))
        alarms = await rows_of(database, "SELECT watch_id, subject, repeats FROM alarms")
        events = await rows_of(
            database, "SELECT 1 FROM alert_events WHERE event IN ('opened', 'alarmed')"
        )
        alerts = await rows_of(database, "SELECT kind, subject, state FROM alerts")
        keys = [(a["kind"], a["subject"]) for a in alerts if a["state"] != "resolved"]
        assert len(keys) == len(set(keys))
        told = {(a["watch_id"], a["subject"]) for a in alarms}
        assert len(alarms) == len(told) == len(events)
        assert sum(a["repeats"] for a in alarms) > 10

    asyncio.run(check())


def test_a_lesser_tier_does_not_hide_a_graver_one(database: str) -> None:
    async def check() -> None:
        await lay(database, [])
        engine = connect(database)
        await open_alert(engine, "loss", tier=Tier.INFO)
        page = await open_alert(engine, "feature", tier=Tier.PAGE)
        async with engine.begin() as connection:
            await settle_inhibition(connection, MARKET, clock=utc_now)
        found = await rows_of(database, "SELECT inhibited_by FROM alerts WHERE id = $1", page.id)
        assert found[0]["inhibited_by"] is None
        await engine.dispose()

    asyncio.run(check())


def test_who_was_told_that_it_stands_is_told_that_it_ended_and_nobody_else(database: str) -> None:
    async def check() -> None:
        await lay(database, [])
        engine = connect(database)
        informed = await add_webhook(database, "http://127.0.0.1:9/")
        await rows_of(database, "UPDATE webhooks SET tiers = '[\"info\"]' RETURNING 1")
        alert = await open_alert(engine, "loss", tier=Tier.INFO)
        await tell_of(engine, alert, "alert.firing")
        # It rises, and a webhook is made that would have wanted it.
        async with engine.begin() as connection:
            alert = await store.change_alert(connection, alert.id, tier=Tier.ROLLBACK.value)
        await add_webhook(database, "http://127.0.0.1:9/")
        async with engine.begin() as connection:
            await close_alert(connection, alert, MARKET, "monitor", "gone", clock=utc_now)
        told = await rows_of(database, "SELECT webhook_id, event FROM deliveries ORDER BY sequence")
        assert [(t["webhook_id"], t["event"]) for t in told] == [
            (informed, "alert.firing"),
            (informed, "alert.resolved"),
        ]
        await engine.dispose()

    asyncio.run(check())
