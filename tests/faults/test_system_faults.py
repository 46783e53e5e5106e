"""Kills in the middle of traffic: no answer lost, none there twice, the alarms the same."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from leadsman.demo import record
from leadsman.demo.market import LABEL_DELAY, TRAINED_ON, Market, load
from leadsman.demo.record import Record
from leadsman.demo.releases import Releases
from leadsman.demo.traffic import APPLICATION, Traffic
from leadsman.demo.training import in_wrong_unit, train
from leadsman.embedded_postgres import EmbeddedPostgres
from monitor.loop import turn_once
from monitor.settings import Settings
from tests.support.service import RunningUp, running_up, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROWS = 1_500
VICTIMS = (
    (300, ("-m", "serving")),
    (600, ("serving.replica",)),
    (900, ("-m", "monitor")),
    (1_200, ("postgres", "-D")),
)
"""Row and process that is killed when it is sent."""

CONCLUSIONS = ("alarms", "alerts", "alert_events", "remedies", "watches", "watch_states")
CURSORS = ("monitor_cursors", "signal_points", "deliveries", "delivery_attempts")
"""What the monitor wrote: taken away, so that a fresh one concludes it again."""

_ALARMS = """
    SELECT w.name, al.subject, al.observation, al.prediction_id, al.statistic, al.alarmed_at
      FROM alarms al JOIN watches w ON w.id = al.watch_id
  ORDER BY w.name, al.subject, al.observation
"""


def test_kills_in_the_middle_of_traffic_cost_no_answer_and_change_no_alarm(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {"MONITOR_REMEDY_MODE": "observe", "MONITOR_POLL_INTERVAL": "PT0.2S"}
    market = load()
    with running_up(data_dir, settings) as up:
        _serve_two_versions(market, up)
        traffic = _send_and_kill(market, up)
        wait_until(lambda: _is_nothing(lambda: _missing(data_dir, traffic)), 60.0)
        wait_until(lambda: _is_nothing(lambda: _unread(data_dir)), 60.0)
        answers = record.read(data_dir, APPLICATION, lambda one: one.answers())
        labels = record.read(data_dir, APPLICATION, lambda one: one.labels())

    assert traffic.error is None
    assert traffic.sent == ROWS
    seen = [one.prediction_id for one in answers if not one.is_shadow]
    assert set(traffic.ids) <= set(seen)
    each = [(one.prediction_id, one.version, one.is_shadow) for one in answers]
    assert len(each) == len(set(each))
    assert traffic.labelled == ROWS
    assert {one for one, _, _ in labels} == set(traffic.ids)

    disturbed, undisturbed = asyncio.run(_both_alarms(data_dir))
    assert [one for one in disturbed if one[0] == "loss_difference"]
    assert disturbed == undisturbed


def _serve_two_versions(market: Market, up: RunningUp) -> None:
    """Serve a bad version, with a good one in its shadow."""
    releases = Releases(up.connection, APPLICATION)
    releases.make_application()
    inputs, labels = market.inputs[:TRAINED_ON], market.labels[:TRAINED_ON]
    good = releases.register("v1", train(inputs, labels))
    releases.serve({"kind": "single", "champion": good}, "first")
    bad = releases.register("v2", train(in_wrong_unit(inputs), labels))
    releases.serve({"kind": "shadow", "champion": bad, "challengers": [good]}, "bad release")
    releases.close()


def _send_and_kill(market: Market, up: RunningUp) -> Traffic:
    """Send rows, kill one process after the other meanwhile."""
    last = TRAINED_ON + ROWS
    traffic = Traffic(market, up.connection, speed=100.0, first=TRAINED_ON, last=last)
    sender = threading.Thread(target=traffic.run)
    sender.start()
    try:
        for row, words in VICTIMS:
            wait_until(lambda row=row: traffic.row >= TRAINED_ON + row, 90.0)
            up.child(*words).kill()
        sender.join(120.0)
        assert not sender.is_alive()
    finally:
        traffic.stop.set()
        sender.join()
    assert traffic.row > TRAINED_ON + LABEL_DELAY
    return traffic


def _is_nothing(count: Callable[[], int]) -> bool:
    """Whether a count is 0; not while Postgres is starting again."""
    try:
        return count() == 0
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def _missing(data_dir: Path, traffic: Traffic) -> int:
    async def ask(one: Record) -> int:
        answered = {answer.prediction_id for answer in await one.answers()}
        labelled = {prediction_id for prediction_id, _, _ in await one.labels()}
        return len(set(traffic.ids) - answered) + len(set(traffic.ids) - labelled)

    return record.read(data_dir, APPLICATION, ask)


def _unread(data_dir: Path) -> int:
    return record.read(data_dir, APPLICATION, lambda one: one.unread())


async def _both_alarms(data_dir: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Read the alarms, and those of a fresh monitor that nobody disturbs, over the same record."""
    postgres = EmbeddedPostgres(data_dir / "postgres")
    url = postgres.start()
    try:
        connection = await asyncpg.connect(url)
        try:
            disturbed = [tuple(one) for one in await connection.fetch(_ALARMS)]
            await connection.execute(f"TRUNCATE {', '.join(CONCLUSIONS + CURSORS)} CASCADE")
            engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
            settings = Settings(database_url=url, remedy_mode="observe")
            # Watches are made in the first turn, and that turn may already read.
            while await turn_once(engine, settings) is not None:
                pass
            await engine.dispose()
            undisturbed = [tuple(one) for one in await connection.fetch(_ALARMS)]
        finally:
            await connection.close()
    finally:
        postgres.stop()
    return disturbed, undisturbed
