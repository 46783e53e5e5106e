"""It acts like a careful operator: each guard, and what comes when a remedy did not help."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.alerts.telling import alert_data
from monitor.alerts.text import text_of
from monitor.settings import Mode, Settings, Tier
from monitor.store import alerts as alert_store
from monitor.store import automation
from monitor.store.database import connect
from tests.support.fake_serving import FakeServing, Mood
from tests.support.http_server import http_server
from tests.support.monitoring import GUARDED, rows_of, settings_for
from tests.support.raised import act, add_watch, alarm, remedies_of
from tests.support.shipped import add_revision, set_up_application

ROLL_BACK = {"kind": "roll_back"}
SWAP = {"kind": "swap", "version": "price:3"}
PAGE = {"kind": "page"}


@dataclass
class Stage:
    """A database with a bad release in it, serving, and a clock that a test moves."""

    engine: AsyncEngine
    settings: Settings
    serving: FakeServing
    serving_url: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def clock(self) -> datetime:
        return self.now

    async def act(self) -> None:
        await act(self.engine, self.settings, self.serving_url, self.clock)

    async def ask(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return await rows_of(self.settings.database_url, query, *values)

    async def states(self) -> list[tuple[str, str, str | None]]:
        return [(r.kind, r.state, r.outcome) for r in await remedies_of(self.engine)]

    async def wait(self, **time: float) -> None:
        self.now += timedelta(**time)
        await self.act()


def on_stage(
    url: str, work: Callable[[Stage], Awaitable[None]], *moods: Mood, **settings: Any
) -> None:
    async def run(serving: FakeServing, serving_url: str) -> None:
        connection = await asyncpg.connect(url)
        await set_up_application(connection, versions=("1", "2", "3"), policies=GUARDED)
        await connection.close()
        engine = connect(url)
        try:
            given = settings_for(url, remedy_mode=Mode.ACT, **settings)
            await work(Stage(engine, given, serving, serving_url))
        finally:
            await engine.dispose()

    serving = FakeServing(url, deque(moods))
    with http_server(serving) as server:
        asyncio.run(run(serving, server.url))


def test_two_alarms_at_once_make_one_change_and_one_line(database: str) -> None:
    async def work(stage: Stage) -> None:
        for name, signal, subject in (("pair", "loss_difference", "2,1"), ("one", "loss", "2")):
            watch = await add_watch(stage.engine, name, [ROLL_BACK], signal=signal)
            for _ in range(3):
                await alarm(stage.engine, stage.settings, watch, subject, stage.clock)
        await stage.act()
        assert await stage.states() == [("roll_back", "acted", None)]
        lines = await stage.ask("SELECT detail FROM alert_events WHERE event = 'declined'")
        assert len(lines) == 1

    on_stage(database, work)


def test_the_database_itself_lets_one_change_be_in_flight(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "first", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        copy = (
            "INSERT INTO remedies (application_id, alarm_id, kind, mode, state, from_revision,"
            " request, idempotency_key) SELECT application_id, alarm_id, kind, mode, state,"
            " from_revision, request, gen_random_uuid() FROM remedies"
        )
        async with stage.engine.begin() as connection:
            with pytest.raises(IntegrityError, match="uq_remedies_in_flight"):
                await connection.exec_driver_sql(copy)

    on_stage(database, work)


def test_the_next_change_waits_out_the_cool_down(database: str) -> None:
    async def work(stage: Stage) -> None:
        back = await add_watch(stage.engine, "back", [ROLL_BACK])
        swap = await add_watch(stage.engine, "swap", [SWAP])
        await alarm(stage.engine, stage.settings, back, "2", stage.clock)
        await stage.act()
        await alarm(stage.engine, stage.settings, swap, "1", stage.clock)
        await stage.wait(minutes=9)
        assert (await stage.states())[-1] == ("swap", "decided", None)
        await stage.wait(minutes=2)
        assert (await stage.states())[-1] == ("swap", "acted", None)

    on_stage(database, work)


def test_a_version_that_came_into_alarm_after_the_decision_is_not_moved_to(database: str) -> None:
    async def work(stage: Stage) -> None:
        back = await add_watch(stage.engine, "back", [ROLL_BACK])
        tells = await add_watch(stage.engine, "tells", [{"kind": "notify"}])
        await alarm(stage.engine, stage.settings, back, "2", stage.clock)
        await alarm(stage.engine, stage.settings, tells, "1", stage.clock)
        await stage.act()
        assert stage.serving.changes == []
        [remedy] = await remedies_of(stage.engine)
        assert (remedy.state, remedy.state_reason) == ("held", "price:1 is itself in alarm")

    on_stage(database, work)


@pytest.mark.parametrize(
    ("tier", "state"), [(Tier.INFO, "acted"), (Tier.PAGE, "held"), (Tier.ROLLBACK, "held")]
)
def test_what_only_informs_about_the_target_holds_no_change_back(
    database: str, tier: Tier, state: str
) -> None:
    async def work(stage: Stage) -> None:
        tells = await add_watch(stage.engine, "tells", [{"kind": "notify"}], tier=tier)
        await alarm(stage.engine, stage.settings, tells, "1", stage.clock)
        back = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, back, "2", stage.clock)
        await stage.act()
        assert await stage.states() == [("roll_back", state, None)]
        assert len(stage.serving.changes) == (state == "acted")
        async with stage.engine.begin() as connection:
            alert = await alert_store.read_alert(connection, 2)
        said = "But price:1 has an open information alert itself: alert 1."
        assert (said in text_of(alert_data(alert, "market"))) == (state == "acted")

    on_stage(database, work)


def test_a_version_that_does_not_start_is_not_moved_to_and_the_next_step_comes(
    database: str,
) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "rule", [ROLL_BACK, SWAP, PAGE])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        first, second = await remedies_of(stage.engine)
        assert first.state == "failed"
        assert "its last words" in (first.state_reason or "")
        assert (second.kind, second.state, second.follows) == ("swap", "acted", first.id)
        assert [change["policy"]["champion"] for change in stage.serving.changes] == ["price:3"]

    on_stage(database, work, "refuses")


def test_after_the_last_step_people_are_paged(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "rule", [ROLL_BACK, SWAP])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.ask("UPDATE alerts SET state = 'acknowledged'")
        await stage.act()
        assert [state for _, state, _ in await stage.states()] == ["failed", "failed"]
        [alert] = await stage.ask("SELECT state FROM alerts")
        assert alert["state"] == "firing"
        [line] = await stage.ask("SELECT detail FROM alert_events WHERE event = 'escalated'")
        assert "no further step" in line["detail"]

    on_stage(database, work, "refuses", "refuses")


def test_a_remedy_that_no_label_shows_to_have_helped_leads_to_the_next_step(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "rule", [ROLL_BACK, SWAP, PAGE])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        await stage.wait(days=6)
        assert await stage.states() == [("roll_back", "acted", None)]
        await stage.wait(days=2)
        await stage.act()
        assert await stage.states() == [
            ("roll_back", "acted", "not_recovered"),
            ("swap", "acted", None),
        ]

    on_stage(database, work)


def test_a_remedy_that_people_overtook_is_superseded_and_nothing_follows(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "rule", [ROLL_BACK, SWAP])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        connection = await asyncpg.connect(stage.settings.database_url)
        await add_revision(connection, {"kind": "single", "champion": "price:3"})
        await connection.close()
        await stage.wait(minutes=30)
        assert await stage.states() == [("roll_back", "acted", "superseded")]

    on_stage(database, work)


@pytest.mark.parametrize("scope", [None, 1])
def test_nothing_acts_while_automation_is_off_nor_by_itself_after(
    database: str, scope: int | None
) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)

        async def turn(enabled: bool) -> None:
            async with stage.engine.begin() as connection:
                await automation.turn_switch(
                    connection, scope, enabled=enabled, reason="storm", actor="kim"
                )

        await turn(False)
        await stage.act()
        [remedy] = await remedies_of(stage.engine)
        assert remedy.state == "proposed"
        assert "by kim: storm" in (remedy.state_reason or "")
        await turn(True)
        await stage.wait(minutes=30)
        assert stage.serving.changes == []
        assert await stage.states() == [("roll_back", "proposed", None)]

    on_stage(database, work)


def test_an_answer_that_was_lost_before_the_switch_was_turned_is_found(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        async with stage.engine.begin() as connection:
            await automation.turn_switch(connection, None, enabled=False, reason=None, actor="kim")
        await stage.wait(minutes=5)
        [remedy] = await remedies_of(stage.engine)
        assert (remedy.state, remedy.to_revision) == ("acted", 3)

    on_stage(database, work, "loses")


def test_a_proposal_ends_when_the_route_moves_on(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK], mode=Mode.PROPOSE)
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        connection = await asyncpg.connect(stage.settings.database_url)
        await add_revision(connection, {"kind": "single", "champion": "price:3"})
        await connection.close()
        await stage.act()
        [remedy] = await remedies_of(stage.engine)
        assert remedy.state == "held"
        assert remedy.state_reason == "the route moved from revision 2 to 3"

    on_stage(database, work)


def test_a_decision_about_a_route_that_has_moved_is_not_even_sent(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        connection = await asyncpg.connect(stage.settings.database_url)
        await add_revision(connection, {"kind": "single", "champion": "price:3"})
        await connection.close()
        await stage.act()
        assert await stage.states() == [("roll_back", "held", None)]

    # Whatever were sent would be refused, and so end as failed.
    on_stage(database, work, "refuses")


def test_every_act_is_a_revision_with_its_evidence(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        [made] = await stage.ask("SELECT reason, evidence FROM revisions WHERE revision = 3")
        [remedy] = await remedies_of(stage.engine)
        assert f'"remedy": "{remedy.idempotency_key}"' in made["evidence"]
        for name in ("alarm", "alert", "watch", "statistic", "promise", "before", "after"):
            assert f'"{name}"' in made["evidence"]
        assert made["reason"]

    on_stage(database, work)


def test_the_route_is_checked_everywhere_after_a_change(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        await stage.wait(seconds=11)
        [remedy] = await remedies_of(stage.engine)
        assert remedy.route_check is not None
        assert remedy.route_check["everywhere"]
        assert remedy.route_check["revision_over_rest"] == 3

    on_stage(database, work)


def test_a_process_that_goes_on_answering_by_the_old_route_is_paged(database: str) -> None:
    async def work(stage: Stage) -> None:
        watch = await add_watch(stage.engine, "back", [ROLL_BACK])
        await alarm(stage.engine, stage.settings, watch, "2", stage.clock)
        await stage.act()
        late = stage.now + timedelta(seconds=5)
        await stage.ask(
            "INSERT INTO predictions (predicted_at, id, version_id, application_id, revision,"
            " flags, latency_us, propensity, input, shipment)"
            " VALUES ($1, gen_random_uuid(), 2, 1, 2, 0, 1, 1, '', 1)",
            late,
        )
        await stage.wait(seconds=11)
        [remedy] = await remedies_of(stage.engine)
        assert remedy.route_check is not None
        assert not remedy.route_check["done"]
        await stage.wait(minutes=3)
        [remedy] = await remedies_of(stage.engine)
        assert remedy.route_check is not None
        assert (remedy.route_check["everywhere"], remedy.route_check["answers_by_old"]) == (
            False,
            1,
        )
        [line] = await stage.ask("SELECT detail FROM alert_events WHERE event = 'escalated'")
        assert "did not change the route everywhere: 1 answers" in line["detail"]

    on_stage(database, work)
