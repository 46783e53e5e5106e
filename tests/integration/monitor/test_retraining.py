"""A remedy that trains: the webhook is called, and what it registers is taken over."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.channels.outbox import send_due
from monitor.settings import Mode, Settings
from monitor.store.database import connect
from tests.support.fake_serving import FakeServing
from tests.support.http_server import Server, http_server
from tests.support.monitoring import rows_of, settings_for
from tests.support.raised import act, add_watch, alarm, remedies_of
from tests.support.shipped import add_revision, set_up_application

RETRAIN = {"kind": "retrain", "webhook": 1, "patience": 500}
SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@dataclass
class Trial:
    """An application whose only version got worse, and a trainer behind a webhook."""

    engine: AsyncEngine
    settings: Settings
    serving: FakeServing
    serving_url: str
    trainer: Server
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def act(self, **passed: float) -> None:
        """Time passes; then the monitor's hands move, and the outbox is sent."""
        self.now += timedelta(**passed)
        await act(self.engine, self.settings, self.serving_url, lambda: self.now)
        async with httpx.AsyncClient(trust_env=False) as client:
            await send_due(self.engine, client, self.settings, lambda: self.now)

    async def do(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return await rows_of(self.settings.database_url, query, *values)

    async def register(self) -> None:
        """What a trainer does over REST."""
        await self.do(
            "INSERT INTO versions (id, model_id, version, framework, manifest, digest, size_bytes,"
            " artefact) VALUES (2, 1, '2', 'python', '{}', 'new', 1, 'new')"
        )

    async def states(self) -> list[tuple[str, str, str | None]]:
        return [(r.kind, r.state, r.outcome) for r in await remedies_of(self.engine)]


def try_it(url: str, work: Callable[[Trial], Awaitable[None]], status: int = 204) -> None:
    async def run(serving: FakeServing, serving_url: str, trainer: Server) -> None:
        connection = await asyncpg.connect(url)
        await set_up_application(connection, versions=("1",))
        await connection.execute(
            "INSERT INTO webhooks (url, secret, tiers) VALUES ($1, $2, '[]')", trainer.url, SECRET
        )
        await connection.close()
        engine = connect(url)
        given = settings_for(url, remedy_mode=Mode.ACT, webhook_allow_private=True)
        trial = Trial(engine, given, serving, serving_url, trainer)
        try:
            watch = await add_watch(engine, "trains", [RETRAIN, {"kind": "page"}])
            await alarm(engine, given, watch, "1", lambda: trial.now)
            await trial.act(minutes=1)
            await work(trial)
        finally:
            await engine.dispose()

    serving = FakeServing(url)
    with http_server(serving) as server, http_server(lambda _: (status, {})) as trainer:
        asyncio.run(run(serving, server.url, trainer))


def test_what_the_webhook_registers_goes_into_the_shadow_and_is_promoted(database: str) -> None:
    async def work(trial: Trial) -> None:
        [call] = [c for c in trial.trainer.calls if c.body["type"] == "retrain.requested"]
        assert call.headers["webhook-signature"].startswith("v1,")
        assert call.body["data"]["application"] == "market"
        assert (call.body["data"]["model"], call.body["data"]["version"]) == ("price", "price:1")
        await trial.act(minutes=1)
        assert await trial.states() == [("retrain", "acted", None)]
        await trial.register()
        await trial.act(minutes=1)
        await trial.act(minutes=1)
        assert [c["policy"] for c in trial.serving.changes] == [
            {"kind": "shadow", "champion": "price:1", "challengers": ["price:2"]}
        ]
        better = await add_watch(
            trial.engine, "better", [{"kind": "promote"}], signal="challenger_difference"
        )
        await alarm(trial.engine, trial.settings, better, "2,1", lambda: trial.now)
        await trial.act(minutes=30)
        await trial.act(minutes=1)
        assert await trial.states() == [
            ("retrain", "acted", "recovered"),
            ("challenge", "acted", "untested"),
            ("promote", "acted", None),
        ]
        assert trial.serving.changes[-1]["policy"]["champion"] == "price:2"

    try_it(database, work)


def test_a_version_that_the_paired_test_does_not_favour_is_withdrawn_and_people_are_paged(
    database: str,
) -> None:
    async def work(trial: Trial) -> None:
        await trial.register()
        await trial.act(minutes=1)
        await trial.act(minutes=1)
        watch = await trial.do(
            "INSERT INTO watches (application_id, name, signal, detector, tier, settings, remedy,"
            " mode, origin) VALUES (1, 'paired', 'challenger_difference', 'paired-promotion',"
            " 'page', '{}', 'promote', 'act', 'operator') RETURNING id"
        )
        await trial.do(
            "INSERT INTO watch_states (watch_id, subject, status, parameters, state, observations,"
            " granted, statistic) VALUES ($1, '2,1', 'armed', '{}', '', 500, 0, 0)",
            watch[0]["id"],
        )
        for _ in range(3):
            await trial.act(minutes=30)
        assert await trial.states() == [
            ("retrain", "acted", "not_recovered"),
            ("challenge", "acted", "untested"),
            ("stop_canary", "acted", "untested"),
        ]
        assert trial.serving.changes[-1]["policy"] == {"kind": "single", "champion": "price:1"}
        assert await trial.do("SELECT 1 FROM alert_events WHERE event = 'escalated'")

    try_it(database, work)


def test_a_training_of_which_nothing_comes_is_given_up(database: str) -> None:
    async def work(trial: Trial) -> None:
        await trial.act(hours=23)
        assert await trial.states() == [("retrain", "acted", None)]
        await trial.act(hours=2)
        assert await trial.states() == [("retrain", "acted", "not_recovered")]
        [line] = await trial.do("SELECT detail FROM alert_events WHERE event = 'escalated'")
        assert "retrain" in line["detail"]

    try_it(database, work)


def test_a_version_that_the_trainer_itself_put_into_the_shadow_is_taken_over(database: str) -> None:
    async def work(trial: Trial) -> None:
        await trial.register()
        connection = await asyncpg.connect(trial.settings.database_url)
        policy = {"kind": "shadow", "champion": "price:1", "challengers": ["price:2"]}
        await add_revision(connection, policy)
        await trial.act(minutes=1)
        assert await trial.states() == [("retrain", "acted", None)]
        await add_revision(connection, {"kind": "single", "champion": "price:2"})
        await connection.close()
        await trial.act(minutes=1)
        assert await trial.states() == [("retrain", "acted", "recovered")]

    try_it(database, work)
