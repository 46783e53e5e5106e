"""What was decided is carried out once, verified, and told."""

import asyncio
import base64
import hashlib
import hmac
import random
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from monitor.channels.outbox import send_due
from monitor.channels.webhook import new_secret
from monitor.remedies.actor import act_on_due
from monitor.serving_client import ServingClient
from monitor.settings import Mode
from monitor.store.database import connect
from monitor.wall_clock import utc_now
from tests.support.http_server import Call, http_server
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.shipped import (
    START,
    Feedback,
    Prediction,
    add_revision,
    prediction_id,
    ship,
)

WITHOUT_PAUSE = timedelta(0)


async def act(url: str, serving: str, **changes: Any) -> int:
    settings = settings_for(url, remedy_mode=Mode.ACT, **changes)
    engine, client = connect(url), ServingClient(serving, "lsm_key")
    try:
        return await act_on_due(engine, client, settings, utc_now)
    finally:
        await client.close()
        await engine.dispose()


async def make_rollback(url: str, call: Call) -> None:
    """What serving does to its tables when it rolls back."""
    connection = await asyncpg.connect(url)
    await add_revision(
        connection,
        {"kind": "single", "champion": "price:1"},
        kind="rollback",
        restores=call.body["to_revision"],
        evidence=call.body["evidence"],
    )
    await connection.close()


def test_a_bad_version_is_rolled_back_and_its_recovery_is_shown(database: str) -> None:
    def serve(call: Call) -> tuple[int, Any]:
        asyncio.run(make_rollback(database, call))
        return 200, {"application": "market", "revision": 3}

    async def check(serving: str) -> None:
        await lay(database, bad_release())
        settings = settings_for(database, remedy_mode=Mode.ACT)
        await catch_up(settings)
        assert await act(database, serving) == 1
        connection = await asyncpg.connect(database)
        rng, predictions, labels = random.Random(5), [], []
        for i in range(400):
            at = START + timedelta(hours=5, seconds=i)
            identifier = prediction_id(at, rng)
            predictions.append(Prediction(identifier, at, 1, int(rng.random() < 0.1), revision=3))
            labels.append(Feedback(identifier, at + timedelta(seconds=1), 0))
        await ship(connection, predictions, labels)
        await connection.close()
        await catch_up(settings)

    with http_server(serve) as server:
        asyncio.run(check(server.url))
        assert [(c.method, c.path) for c in server.calls] == [
            ("POST", "/v1/applications/market/rollback")
        ]
        call = server.calls[0]
    assert call.body["to_revision"] == 1
    assert call.body["expected_revision"] == 2
    assert call.headers["authorization"] == "Bearer lsm_key"
    assert call.headers["idempotency-key"] == call.body["evidence"]["remedy"]
    remedies = asyncio.run(rows_of(database, "SELECT * FROM remedies ORDER BY state"))
    assert remedies[0]["state"] == "acted"
    acted = remedies[0]
    assert (acted["to_revision"], acted["outcome"]) == (3, "recovered")
    # The other test's remedy for the same cause found the route moved, or waits out the cool-down.
    assert all(r["state"] in ("held", "decided") for r in remedies[1:])
    alert = asyncio.run(
        rows_of(database, "SELECT state FROM alerts WHERE id = $1", acted["alert_id"])
    )
    assert alert[0]["state"] == "resolved"


def test_an_answer_that_was_lost_does_not_roll_back_twice(database: str) -> None:
    def serve(call: Call) -> tuple[int, Any]:
        asyncio.run(make_rollback(database, call))
        return 500, {"code": "internal", "detail": "died after the change"}

    async def check(serving: str) -> None:
        await lay(database, bad_release())
        await catch_up(settings_for(database, remedy_mode=Mode.ACT))
        await act(database, serving)
        await asyncio.sleep(0.6)
        await act(database, serving)

    with http_server(serve) as server:
        asyncio.run(check(server.url))
        assert len(server.calls) == 1
    remedies = asyncio.run(rows_of(database, "SELECT * FROM remedies WHERE state = 'acted'"))
    assert [r["to_revision"] for r in remedies] == [3]


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [(409, "revision_moved", "held"), (422, "version_failed_to_start", "failed")],
)
def test_a_refusal_ends_a_remedy_with_servings_own_words(
    database: str, status: int, code: str, state: str
) -> None:
    async def check(serving: str) -> None:
        await lay(database, bad_release())
        await catch_up(settings_for(database, remedy_mode=Mode.ACT))
        await act(database, serving)

    with http_server(lambda _: (status, {"code": code, "detail": "last words"})) as server:
        asyncio.run(check(server.url))
    found = asyncio.run(rows_of(database, "SELECT state, state_reason FROM remedies ORDER BY id"))
    assert found[0]["state"] == state
    assert "last words" in found[0]["state_reason"]


async def add_webhook(url: str, target: str, secret: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        'INSERT INTO webhooks (url, secret, tiers) VALUES ($1, $2, \'["rollback", "page"]\')',
        target,
        secret,
    )
    await connection.close()


def test_deliveries_are_signed_retried_and_in_order(database: str) -> None:
    secret, failures = new_secret(), iter([500, 503])

    async def check(receiver: str) -> None:
        settings = settings_for(
            database, webhook_allow_private=True, webhook_first_pause=timedelta(milliseconds=20)
        )
        await lay(database, [])
        await add_webhook(database, receiver, secret)
        connection = await asyncpg.connect(database)
        for predictions, labels in bad_release():
            await ship(connection, predictions, labels)
        await connection.close()
        await catch_up(settings)
        engine = connect(database)
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(20):
                await send_due(engine, client, settings, utc_now)
                await asyncio.sleep(0.02)
        await engine.dispose()

    with http_server(lambda _: (next(failures, 200), {})) as server:
        asyncio.run(check(server.url))
    sent = asyncio.run(rows_of(database, "SELECT * FROM deliveries ORDER BY sequence"))
    assert {d["state"] for d in sent} == {"delivered"}
    # The first come of each delivery, alert by alert, is the order of the outbox.
    came = list(dict.fromkeys(c.headers["webhook-id"] for c in server.calls))
    for alert in {d["alert_id"] for d in sent}:
        mine = [str(d["id"]) for d in sent if d["alert_id"] == alert]
        assert [one for one in came if one in mine] == mine
    attempts = asyncio.run(
        rows_of(database, "SELECT status FROM delivery_attempts ORDER BY delivery_id, attempt")
    )
    assert sorted(a["status"] for a in attempts if a["status"] != 200) == [500, 503]
    assert len(attempts) == len(server.calls) == len(sent) + 2
    for call in server.calls:
        signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode()
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.new(key, signed + call.raw, hashlib.sha256).digest()
        expected = "v1," + base64.b64encode(digest).decode()
        assert call.headers["webhook-signature"] == expected
    assert server.calls[0].body["type"] == "alert.firing"


def test_a_private_target_is_refused_unless_it_is_allowed(database: str) -> None:
    async def check(receiver: str) -> None:
        settings = settings_for(database, webhook_patience=timedelta(milliseconds=1))
        await add_webhook(database, receiver, new_secret())
        connection = await asyncpg.connect(database)
        await connection.execute(
            "INSERT INTO deliveries (id, webhook_id, event, body, state, next_attempt_at)"
            " VALUES (gen_random_uuid(), 1, 'webhook.test', '{}', 'waiting', now())"
        )
        await connection.close()
        engine = connect(database)
        async with httpx.AsyncClient(trust_env=False) as client:
            await send_due(engine, client, settings, utc_now)
        await engine.dispose()

    with http_server(lambda _: (200, {})) as server:
        asyncio.run(check(server.url))
        assert server.calls == []
    found = asyncio.run(rows_of(database, "SELECT state FROM deliveries"))
    assert [d["state"] for d in found] == ["dead"]
