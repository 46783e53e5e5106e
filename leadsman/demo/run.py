"""The demo from start to end."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leadsman.demo import record
from leadsman.demo.elsewhere import Elsewhere
from leadsman.demo.events import Story
from leadsman.demo.ledger import Ledger
from leadsman.demo.market import (
    CHANGE_ROW,
    RELEASE_ROW,
    ROWS_A_YEAR,
    TRAINED_ON,
    Market,
    load,
)
from leadsman.demo.picture import Picture
from leadsman.demo.record import Json
from leadsman.demo.releases import Releases
from leadsman.demo.report import Conclusions, conclude, report
from leadsman.demo.service import Service
from leadsman.demo.summary import summary
from leadsman.demo.traffic import APPLICATION, Traffic
from leadsman.demo.trainer import Trainer
from leadsman.demo.training import in_wrong_unit, train
from leadsman.demo.watcher import Watcher
from leadsman.errors import CommandError
from leadsman.terminal import err, out

SECONDS_A_YEAR = 365.25 * 86_400

BUDGETS = {"rollback": 0.05, "page": 1.0, "info": 12.0}
"""False alarms allowed in a year of the market."""

COOL_DOWN_ROWS = 20
"""Pause between two remedies: ten hours of the market."""

SETTLE = 30.0
"""Longest wait, in seconds, for the monitor to have read everything."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person asked for."""

    speed: float
    leave: bool
    report: Path | None
    data_dir: Path | None
    until: int
    port: int | None
    monitor_port: int | None
    launcher: str | None = None
    elsewhere: bool = False
    """Play on the service that the environment names."""
    trainer_host: str | None = None
    """Name under which that service's monitor reaches the demo."""


def run(wishes: Wishes) -> None:
    """Play the demo.

    Raises
    ------
    CommandError
        If an answer was lost or the bad release was not rolled back.
    """
    began = time.monotonic()
    market = load()
    if not TRAINED_ON < wishes.until <= len(market.labels):
        raise CommandError(f"--until: expected {TRAINED_ON + 1} to {len(market.labels)}")
    folder = (wishes.data_dir or Path(".leadsman") / "demo").absolute()
    service = Elsewhere(folder) if wishes.elsewhere else _own(folder, wishes)
    try:
        with err.status("starting Postgres, serving and the monitor"):
            service.start()
        told = _play(market, service, wishes, began)
        if wishes.report is not None:
            wishes.report.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        out.print(summary(told), soft_wrap=False)
        if not wishes.leave:
            _stay(service)
    finally:
        service.stop()
    _judge(told, wishes)


def _own(folder: Path, wishes: Wishes) -> Service:
    variables = dict(settings(wishes.speed))
    if wishes.launcher is not None:
        variables["SERVING_LAUNCHER"] = wishes.launcher
    return Service(folder, wishes.port, wishes.monitor_port, variables)


def settings(speed: float) -> Mapping[str, str]:
    """Variables of the service for a market that runs `speed` × 1,800 times faster than its clock.

    The budgets are stated for a year of the market, and the record's clock is the wall clock. So
    the monitor is told how much faster the market runs than that clock.
    """
    budgets = {f"MONITOR_BUDGET_{tier.upper()}": str(b) for tier, b in BUDGETS.items()}
    return budgets | {
        "MONITOR_TIME_SCALE": str(faster(speed)),
        "MONITOR_REMEDY_MODE": "act",
        "MONITOR_REMEDY_COOL_DOWN": f"PT{max(COOL_DOWN_ROWS / speed, 0.001):.3f}S",
        "MONITOR_POLL_INTERVAL": "PT0.5S",
        # A year in two minutes: the charts need more points than one in ten seconds.
        "MONITOR_SERIES_STEP": "PT2S",
    }


def faster(speed: float) -> float:
    """Years of the market in one year of the record's clock."""
    return speed * SECONDS_A_YEAR / ROWS_A_YEAR


def _play(market: Market, service: Service | Elsewhere, wishes: Wishes, began: float) -> Json:
    connection, story = service.connection, Story()
    traffic = Traffic(market, connection, speed=wishes.speed, first=TRAINED_ON, last=wishes.until)
    ledger = Ledger(TRAINED_ON, wishes.until, traffic.row_of)
    releases = Releases(connection, APPLICATION)
    trainer = Trainer(
        service.data_dir,
        APPLICATION,
        releases,
        story,
        lambda: traffic.row,
        host=wishes.trainer_host,
    )  # fmt: skip
    watcher = Watcher(service.data_dir, APPLICATION, ledger, story)
    sender = threading.Thread(target=traffic.run, name="traffic")
    try:
        with err.status("training and registering v1 and v2"):
            first, bad = _prepare(market, releases, trainer)

        def release() -> None:
            story.tell(f"{bad} is released; {first} goes on in its shadow", traffic.row)
            policy = {"kind": "shadow", "champion": bad, "challengers": [first]}
            releases.serve(policy, "a new version, trained on data with the price in another unit")

        traffic.at(RELEASE_ROW, release)
        with Picture(err, ledger, story, lambda: traffic.row) as picture:
            watcher.start()
            sender.start()
            while sender.is_alive():
                sender.join(0.25)
                picture.route = watcher.route
                picture.draw()
            if traffic.error is not None:
                raise traffic.error
            _settle(service.data_dir, traffic)
            trainer.look()
            watcher.stop()
    finally:
        traffic.stop.set()
        if sender.is_alive():
            sender.join()
        watcher.stop()
        trainer.stop()
        releases.close()
    found = _conclude(service.data_dir, traffic)
    return report(
        found,
        traffic,
        trainer.attempts,
        bad=bad,
        first=first,
        wall_seconds=time.monotonic() - began,
        budgets=_budgets(traffic, wishes.speed),
    )


def _prepare(market: Market, releases: Releases, trainer: Trainer) -> tuple[str, str]:
    """Register both versions, serve the first, connect the trainer."""
    releases.make_application()
    inputs, labels = market.inputs[:TRAINED_ON], market.labels[:TRAINED_ON]
    first = releases.register("v1", train(inputs, labels))
    bad = releases.register("v2", train(in_wrong_unit(inputs), labels))
    releases.serve({"kind": "single", "champion": first}, "the first version")
    trainer.start(releases.webhook(trainer.url))
    return first, bad


def _settle(data_dir: Path, traffic: Traffic) -> None:
    """Wait until everything is recorded and the monitor has read it."""

    async def behind(one: record.Record) -> int:
        return await one.unread()

    async def missing(one: record.Record) -> int:
        return len(set(traffic.ids) - {a.prediction_id for a in await one.answers()})

    until = time.monotonic() + SETTLE
    for question in (missing, behind):
        while record.read(data_dir, APPLICATION, question) and time.monotonic() < until:
            time.sleep(0.3)


def _conclude(data_dir: Path, traffic: Traffic) -> Conclusions:
    return record.read(data_dir, APPLICATION, lambda one: conclude(one, traffic))


def _budgets(traffic: Traffic, speed: float) -> Json:
    years = (traffic.row - traffic.first) / ROWS_A_YEAR
    return {
        "false_alarms_a_market_year": BUDGETS,
        "market_years_played": round(years, 3),
        "note": (
            f"{speed:g} half hours pass in a second: budgets are stated for a year of the "
            "market and granted by the wall clock that much faster."
        ),
    }


def _stay(service: Service | Elsewhere) -> None:
    connection = service.connection
    out.print(f"the service stays up: {connection.serving_url}/docs, {connection.monitor_url}")
    out.print(f"ask it: LEADSMAN_DATA_DIR={service.data_dir} leadsman status; Ctrl-C stops it")
    try:
        while True:
            time.sleep(3_600)
    except KeyboardInterrupt:
        return


def _judge(told: Json, wishes: Wishes) -> None:
    """End with an error where the product did not keep its word."""
    if told["predictions_lost"] or told["predictions_repeated"]:
        raise CommandError(
            f"{told['predictions_lost']} answers are not in the record, "
            f"{told['predictions_repeated']} are there twice"
        )
    remedy = told["acts"][0]["remedy"]
    played = wishes.until > RELEASE_ROW + 1_000
    if played and (remedy is None or remedy["state"] != "acted"):
        raise CommandError("the bad release was not rolled back")
    if wishes.until > CHANGE_ROW and told["feedback_recorded"] != told["feedback_sent"]:
        raise CommandError("labels are missing from the record")
