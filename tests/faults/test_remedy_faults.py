"""Alerts and remedies through random sequences of alarms, crashes, operators' actions, silences, a
serving that fails and webhooks that fail: what is promised holds after every step."""

import asyncio
import json
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.channels.outbox import send_due
from monitor.raising import close_stale
from monitor.settings import Mode, Tier
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.store.database import DATABASE_AWAY, connect
from tests.support.fake_serving import FakeServing
from tests.support.http_server import Call, http_server
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import GUARDED, rows_of, settings_for
from tests.support.postgres import execute, with_database
from tests.support.raised import act, add_watch, alarm, in_alarm
from tests.support.shipped import add_revision, set_up_application
from tests.support.told import Told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

EXAMPLES, STEPS = int(os.environ.get("LEADSMAN_STATEFUL_EXAMPLES", "6")), 25
"""A long run: LEADSMAN_STATEFUL_EXAMPLES=200."""
SLOW, PATIENCE_S = 0, 0.2
"""A receiver that answers too late, and how long the monitor waits for one."""
ENDED = ("acted", "failed", "rejected", "held", "observed")
RULES = (
    [{"kind": "roll_back"}],
    [{"kind": "roll_back"}, {"kind": "swap", "version": "price:3"}, {"kind": "page"}],
    [{"kind": "swap", "version": "price:3"}, {"kind": "roll_back"}],
)
TELLING = ("tells", "informs", "drifts", "pages")
"""Watches that change no route."""
COOL_DOWN = timedelta(minutes=10)
LONGEST_SILENCE = timedelta(days=30)


class KilledError(BaseException):
    """The process died here."""


@dataclass(frozen=True)
class Trouble:
    """What happens before a statement of the monitor, counted from the beginning of its work."""

    statement: int
    kind: str
    """dies: what is not committed is undone, as when the process is killed; cut: Postgres ends all
    connections, of everybody."""


TROUBLES = st.none() | st.builds(
    Trouble, st.integers(0, 30), st.sampled_from(["dies", "dies", "cut"])
)


@contextmanager
def troubled(
    engine: AsyncEngine, trouble: Trouble | None, cut: Callable[[], None]
) -> Iterator[None]:
    """Let it happen meanwhile."""
    left = 10_000 if trouble is None else trouble.statement

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0 and trouble is not None and trouble.kind == "dies":
            raise KilledError
        if left == -1:
            # A server's thread: this one's loop is at work.
            thread = threading.Thread(target=cut)
            thread.start()
            thread.join()

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        yield
    except KilledError:
        pass
    except ExceptionGroup as group:
        # Attempts go on side by side.
        if left >= 0 or group.split(DATABASE_AWAY)[1] is not None:
            raise
    except DATABASE_AWAY:
        # As the monitor's own loop takes it: it goes on with the next round.
        if left >= 0:
            raise
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)


class Operation(RuleBasedStateMachine):
    """The monitor's hands, an application with three versions, and everything that may happen."""

    postgres_url: str
    template: str
    broken: ClassVar[list[str]] = []
    """What a server's thread saw that must not be."""

    @initialize()
    def begin(self) -> None:
        """A fresh database, serving, a receiver, the API."""
        self.loop = asyncio.Runner()
        self.name = f"test_{secrets.token_hex(6)}"
        execute(self.postgres_url, f"CREATE DATABASE {self.name} TEMPLATE {self.template}")
        self.url = with_database(self.postgres_url, self.name)
        self.now = datetime.now(UTC)
        self.off: set[int | None] = set()
        self.fails: list[int] = []
        self.received: list[tuple[str, str]] = []
        """Id and signed body of every delivery that was answered with success."""
        self.told = Told(self.url)
        self.serving = FakeServing(self.url)
        self.open: list[Any] = [http_server(self._serve), http_server(self._receive)]
        serving, receiver = (one.__enter__() for one in self.open)
        self.serving_url = serving.url
        self.settings = settings_for(
            self.url,
            remedy_mode=Mode.ACT,
            remedy_cool_down=COOL_DOWN,
            remedy_attempts=4,
            webhook_allow_private=True,
        )
        self.engine = self.run(self._prepare(receiver.url))
        self.open.append(monitor_api(self.settings, clock=self.clock))
        self.api: httpx.Client = self.open[-1].__enter__()

    async def _prepare(self, receiver: str) -> AsyncEngine:
        connection = await asyncpg.connect(self.url)
        await set_up_application(connection, versions=("1", "2", "3"), policies=GUARDED)
        await connection.execute(
            "INSERT INTO webhooks (url, secret, tiers)"
            " VALUES ($1, 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '[\"rollback\", \"page\"]'),"
            " ($1, 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '[\"info\", \"page\"]')",
            receiver,
        )
        await connection.close()
        engine = connect(self.url)
        for number, steps in enumerate(RULES):
            for mode in (Mode.ACT, Mode.PROPOSE):
                await add_watch(engine, f"{mode.value}_{number}", steps, mode=mode)
        notify, feature = [{"kind": "notify"}], "feature.area"
        await add_watch(engine, "tells", notify)
        await add_watch(engine, "informs", notify, tier=Tier.INFO)
        await add_watch(engine, "drifts", notify, tier=Tier.INFO, signal=feature)
        await add_watch(engine, "pages", [{"kind": "page"}], tier=Tier.INFO, signal=feature)
        return engine

    def run(self, work: Awaitable[Any]) -> Any:
        async def whole() -> Any:
            return await work

        return self.loop.run(whole())

    def _serve(self, call: Call) -> tuple[int, Any]:
        if call.method != "GET":
            self._may_act(call)
        return self.serving(call)

    def _may_act(self, call: Call) -> None:
        # The next invariant tells it: a server's thread cannot fail a test.
        if self.off & {None, 1}:
            self.broken.append("a call was begun while automation was off")

    def _receive(self, call: Call) -> tuple[int, Any]:
        if self.fails:
            status = self.fails.pop()
            if status != SLOW:
                return status, {}
            # It has it, and says so when nobody listens any more.
            self.received.append((call.headers["webhook-id"], call.raw.decode()))
            time.sleep(2 * PATIENCE_S)
            return 200, {}
        self.received.append((call.headers["webhook-id"], call.raw.decode()))
        return 200, {}

    def clock(self) -> datetime:
        return self.now

    @rule(
        number=st.integers(0, len(RULES) + len(TELLING) - 1),
        mode=st.sampled_from(["act", "propose"]),
        subject=st.sampled_from(["1", "2", "3", "2,1"]),
        trouble=TROUBLES,
    )
    def alarms(self, number: int, mode: str, subject: str, trouble: Trouble | None) -> None:
        told = number - len(RULES)
        name = TELLING[told] if told >= 0 else f"{mode}_{number}"

        async def work() -> None:
            async with self.engine.begin() as connection:
                watches = {w.name: w for w in await watch_store.read_watches(connection, 1)}
            with troubled(self.engine, trouble, self.cut):
                await alarm(self.engine, self.settings, watches[name], subject, self.clock)

        self.run(work())

    @rule(
        moods=st.lists(st.sampled_from(["does", "loses", "away", "refuses"]), max_size=3),
        trouble=TROUBLES,
    )
    def acts(self, moods: list[Any], trouble: Trouble | None) -> None:
        self.serving.moods.extend(moods)

        async def work() -> None:
            before = await in_alarm(self.engine)
            made = len(self.serving.changes)
            with troubled(self.engine, trouble, self.cut):
                await act(self.engine, self.settings, self.serving_url, self.clock)
            # One round changes the route once at most: the cool-down holds the next one back.
            assert len(self.serving.changes) - made <= 1
            for change in self.serving.changes[made:]:
                assert await self._target(change) not in before

        self.run(work())
        self.serving.moods.clear()

    async def _target(self, change: dict[str, Any]) -> str:
        if "policy" in change:
            return str(change["policy"]["champion"])
        async with self.engine.begin() as connection:
            registry = await registry_store.read_registry(connection)
        found = registry.routes[1].at(change["to_revision"])
        assert found is not None
        return str(found.champion)

    @rule(minutes=st.sampled_from([1, 3, 11, 60, 9 * 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(scope=st.sampled_from([None, 1]), enabled=st.booleans())
    def the_switch_is_turned(self, scope: int | None, enabled: bool) -> None:
        path = "/v1/automation" if scope is None else "/v1/automation/market"
        assert self.api.put(path, json={"enabled": enabled}).status_code == 200
        if enabled:
            self.off.discard(scope)
        else:
            self.off.add(scope)

    @rule(word=st.sampled_from(["approve", "reject"]), pick=st.integers(0, 50))
    def somebody_answers_a_proposal(self, word: str, pick: int) -> None:
        found = [r for r in self.api.get("/v1/remedies").json() if r["state"] == "proposed"]
        if found:
            number = found[pick % len(found)]["id"]
            answer = self.api.post(f"/v1/remedies/{number}/{word}")
            assert answer.status_code in (200, 409), answer.text
            if self.off and word == "approve":
                assert answer.json()["code"] == "automation_off"

    @rule(word=st.sampled_from(["acknowledge", "resolve"]), pick=st.integers(0, 50))
    def somebody_takes_an_alert(self, word: str, pick: int) -> None:
        found = self.api.get("/v1/alerts", params={"state": "open"}).json()
        if found:
            number = found[pick % len(found)]["id"]
            assert self.api.post(f"/v1/alerts/{number}/{word}").status_code in (200, 409)

    @rule(
        kind=st.sampled_from([None, "loss", "feature"]),
        length=st.sampled_from([timedelta(minutes=2), timedelta(hours=1), LONGEST_SILENCE]),
        number=st.integers(0, len(RULES) + len(TELLING) - 1),
        meanwhile=st.lists(st.sampled_from(["alarms", "acts", "acknowledge"]), max_size=4),
    )
    def somebody_asks_for_quiet(
        self, kind: str | None, length: timedelta, number: int, meanwhile: list[str]
    ) -> None:
        body = {"application": "market", "kind": kind, "reason": "moving house"}
        until = self.now + length
        made = self.api.post("/v1/silences", json=body | {"until": until.isoformat()}).json()
        assert made["author"] == "admin"
        self.told.silences[made["id"]] = (kind, until)
        for what in meanwhile:
            match what:
                case "alarms":
                    self.alarms(number=number, mode="act", subject="2", trouble=None)
                case "acts":
                    self.acts(moods=[], trouble=None)
                case _:
                    self.somebody_takes_an_alert(word=what, pick=0)

    @rule(pick=st.integers(0, 50))
    def somebody_ends_a_silence(self, pick: int) -> None:
        found = [one["id"] for one in self.api.get("/v1/silences").json()]
        assert set(found) == self.told.holding(self.now)
        if found:
            number = found[pick % len(found)]
            assert self.api.delete(f"/v1/silences/{number}").status_code == 204
            del self.told.silences[number]

    @rule(trouble=TROUBLES)
    def a_turn_ends(self, trouble: Trouble | None) -> None:
        self.run(self._turn(trouble))

    async def _turn(self, trouble: Trouble | None = None) -> None:
        with troubled(self.engine, trouble, self.cut):
            await self._look_after_alerts()
        if trouble is not None:
            return
        # Once what was held back has been told, all is told as it stands, and nothing twice.
        await self.told.look(self.now)
        await self.told.check_nothing_is_owed(self.now)
        await self._look_after_alerts()
        assert not await self.told.look(self.now)

    async def _look_after_alerts(self) -> None:
        """What every turn of the monitor does in the end."""
        async with self.engine.begin() as connection:
            registry = await registry_store.read_registry(connection)
            await close_stale(connection, registry, registry.applications, self.clock)

    @rule(champion=st.sampled_from(["price:1", "price:2", "price:3"]))
    def somebody_changes_the_route(self, champion: str) -> None:
        async def work() -> None:
            connection = await asyncpg.connect(self.url)
            await add_revision(connection, {"kind": "single", "champion": champion})
            await connection.close()

        self.run(work())

    @rule(
        fails=st.lists(st.sampled_from([500, 503, 404, SLOW]), max_size=3),
        trouble=TROUBLES.filter(lambda t: t is None or t.kind == "cut"),
    )
    def deliveries_go_out(self, fails: list[int], trouble: Trouble | None) -> None:
        self.fails.extend(fails)
        self.run(self._deliver(trouble))
        self.fails.clear()

    @rule()
    def postgres_ends_all_connections(self) -> None:
        self.cut()

    def cut(self) -> None:
        execute(
            self.postgres_url,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'",
        )

    async def _deliver(self, trouble: Trouble | None = None) -> None:
        with troubled(self.engine, trouble, self.cut):
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
                await send_due(self.engine, client, self.settings, self.clock)

    @invariant()
    def one_change_is_in_flight_at_most(self) -> None:
        if not hasattr(self, "engine"):
            return
        flying = self.ask("SELECT 1 FROM remedies WHERE state IN ('decided', 'approved')")
        assert len(flying) <= 1

    @invariant()
    def each_change_belongs_to_one_remedy(self) -> None:
        if not hasattr(self, "engine"):
            return
        made = [change["evidence"]["remedy"] for change in self.serving.changes]
        assert len(made) == len(set(made))

    @invariant()
    def what_is_told_may_be_told(self) -> None:
        if hasattr(self, "engine"):
            self.run(self.told.look(self.now))

    @invariant()
    def nothing_acted_while_it_was_off(self) -> None:
        assert not self.broken

    def ask(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run(rows_of(self.url, query))
        return found

    def teardown(self) -> None:
        """Let everything come to an end, and look at the whole."""
        if not hasattr(self, "api"):
            return
        try:
            self._come_to_an_end()
        finally:
            self.run(self.engine.dispose())
            for one in reversed(self.open):
                one.__exit__(None, None, None)
            self.loop.close()
            execute(self.postgres_url, f"DROP DATABASE {self.name} WITH (FORCE)")

    def _come_to_an_end(self) -> None:
        self.fails.clear()
        for path in ("/v1/automation", "/v1/automation/market"):
            self.api.put(path, json={"enabled": True})
        self.off.clear()
        self.now += LONGEST_SILENCE
        for _ in range(12):
            self.now += timedelta(days=2)
            self.run(act(self.engine, self.settings, self.serving_url, self.clock))
            self.run(self._deliver())
        self.run(self._turn())
        self.run(self._deliver())
        states = {row["state"] for row in self.ask("SELECT state FROM remedies")}
        assert states <= {*ENDED, "proposed"}
        waiting = self.ask("SELECT 1 FROM deliveries WHERE state = 'waiting'")
        assert not waiting
        # At least once: what the outbox calls delivered was received, under its own id.
        ids = {identifier for identifier, _ in self.received}
        assert len(ids) == len(set(self.received)), "one id told two things"
        sent = self.ask("SELECT id, alert_id FROM deliveries WHERE state = 'delivered'")
        assert {str(row["id"]) for row in sent} <= ids
        # Somebody was told of each cause that still stands, or of what explains it.
        silent = self.ask(
            "SELECT id FROM alerts a WHERE state = 'firing' AND inhibited_by IS NULL AND NOT EXISTS"
            " (SELECT FROM deliveries d WHERE d.alert_id = a.id AND d.event = 'alert.firing')"
        )
        assert not silent
        self._look_at_order()
        self._look_at_changes()

    def _look_at_order(self) -> None:
        """Deliveries about one alert came to a receiver in the order in which they were written."""
        rows = self.ask("SELECT id, webhook_id, alert_id, sequence FROM deliveries")
        about = {str(row["id"]): row for row in rows}
        order: dict[tuple[int, int], list[int]] = defaultdict(list)
        for identifier, _ in self.received:
            row = about[identifier]
            order[row["webhook_id"], row["alert_id"]].append(row["sequence"])
        for sequences in order.values():
            assert sequences == sorted(sequences)

    def _look_at_changes(self) -> None:
        """Every change that serving made is a remedy that acted, with its revision."""
        rows = self.ask("SELECT idempotency_key, state, to_revision FROM remedies")
        by_key = {str(row["idempotency_key"]): row for row in rows}
        for row in self.ask("SELECT revision, evidence FROM revisions WHERE actor = 'monitor'"):
            remedy = by_key[json.loads(row["evidence"])["remedy"]]
            assert (remedy["state"], remedy["to_revision"]) == ("acted", row["revision"])


def test_remedies_keep_their_promises_whatever_happens(
    postgres_url: str, database_template: str
) -> None:
    class Here(Operation):
        pass

    Here.postgres_url, Here.template, Here.broken = postgres_url, database_template, []
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
