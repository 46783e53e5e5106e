"""What the monitor tells Prometheus of the record, against what the record says."""

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.settings import Mode, Settings
from monitor.store.database import connect
from monitor.views.figures import WANTED_S, Figures
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.service import free_ports

Labels = frozenset[tuple[str, str]]


def _series(text: str, name: str) -> dict[Labels, float]:
    """Values by their labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {
        frozenset(re.findall(r'(\w+)="([^"]*)"', labels)): float(value) for labels, value in found
    }


def _of(text: str, name: str, **labels: str) -> float:
    (value,) = [v for k, v in _series(text, name).items() if labels.items() <= dict(k).items()]
    return value


async def _read(settings: Settings) -> str:
    engine = connect(settings.database_url)
    try:
        return (await Figures().read(engine, settings)).decode()
    finally:
        await engine.dispose()


def test_the_figures_are_those_of_the_record(database: str) -> None:
    async def check() -> str:
        await lay(database, bad_release())
        settings = settings_for(database, remedy_mode=Mode.PROPOSE, budget_page=2.0)
        before = await _read(settings)
        # No monitor has read anything yet: there is no cursor to be behind.
        assert _series(before, "leadsman_monitor_lag_rows") == {}
        assert _series(before, "leadsman_application_budget_per_year") == {}
        await rows_of(
            database,
            "INSERT INTO application_budgets (application_id, tier, per_year, actor)"
            " VALUES (1, 'page', 7, 'test'), (1, 'info', 3, 'test'), (1, 'info', NULL, 'test')",
        )
        await catch_up(settings)
        return await _read(settings)

    text = asyncio.run(check())
    assert _of(text, "leadsman_monitor_lag_rows", shard="all") == 0
    assert _of(text, "leadsman_monitor_lag_seconds", shard="all") == 0
    assert _of(text, "leadsman_budget_per_year", tier="page") == 2.0
    assert _series(text, "leadsman_application_budget_per_year") == {
        frozenset({("application", "market"), ("tier", "page")}): 7.0
    }

    def rows(query: str) -> list[dict[str, Any]]:
        return asyncio.run(rows_of(database, query))

    states = rows(
        "SELECT w.tier, sum(s.granted) AS granted, sum(s.alarms) AS alarms FROM watch_states s"
        " JOIN watches w ON w.id = s.watch_id WHERE w.detector NOT IN ('adwin', 'quiet')"
        " GROUP BY 1"
    )
    for row in states:
        assert _of(text, "leadsman_budget_granted", tier=row["tier"]) == pytest.approx(
            row["granted"]
        )
        assert _of(text, "leadsman_budget_spent", tier=row["tier"]) == row["alarms"]
    opened = rows(
        "SELECT tier, state, count(*) AS n FROM alerts WHERE state <> 'resolved' GROUP BY 1, 2"
    )
    assert opened
    for row in opened:
        labels = {"application": "market", "tier": row["tier"], "state": row["state"]}
        assert _of(text, "leadsman_alerts", **labels) == row["n"]
    proposed = rows("SELECT count(*) AS n FROM remedies WHERE state = 'proposed'")[0]["n"]
    assert proposed
    assert _of(text, "leadsman_remedies_waiting", state="proposed") == proposed
    assert _of(text, "leadsman_label_delay_seconds", version="price:2") == pytest.approx(150)
    assert 0.3 < _of(text, "leadsman_loss_mean", version="price:2") < 0.5
    assert 0.9 < _of(text, "leadsman_label_coverage_ratio", version="price:1") <= 1
    (statistic,) = rows(
        "SELECT statistic FROM watch_states s JOIN watches w ON w.id = s.watch_id"
        " WHERE w.name = 'loss_difference' AND s.subject = '2,1'"
    )
    told = _of(text, "leadsman_test_statistic", watch="loss_difference",
               version="price:2 against price:1", segment="")  # fmt: skip
    assert told == pytest.approx(statistic["statistic"])
    assert _of(text, "leadsman_test_threshold", watch="loss_difference") == 1
    # A detector without a guarantee has no evidence to hold against a threshold.
    assert not [k for k in _series(text, "leadsman_test_threshold") if "loss_adwin" in dict(k)]


def test_how_far_the_monitor_is_behind_is_told_in_rows_and_seconds(database: str) -> None:
    async def check() -> None:
        *first, last = bad_release(shipments=4, rows=10)
        await lay(database, first)
        settings = settings_for(database)
        await catch_up(settings)
        waiting = await rows_of(
            database,
            "INSERT INTO shipments (journal_id, shipped_at, predictions, feedback)"
            " SELECT journal_id, now() - interval '90 seconds', 7, $1 FROM shipments LIMIT 1"
            " RETURNING id",
            len(last[1]),
        )
        assert waiting
        text = await _read(settings)
        assert _of(text, "leadsman_monitor_lag_rows", shard="all") == 7 + len(last[1])
        assert _of(text, "leadsman_monitor_lag_shipments", shard="all") == 1
        assert 89 < _of(text, "leadsman_monitor_lag_seconds", shard="all") < 150

    asyncio.run(check())


def test_the_last_reading_stays_while_postgres_is_away(database: str) -> None:
    async def check() -> None:
        await lay(database, bad_release(shipments=2, rows=5))
        settings = settings_for(database, figures_pause=timedelta(milliseconds=1))
        await catch_up(settings)
        away = settings_for(
            f"postgresql://nobody@127.0.0.1:{free_ports(1)[0]}/x", figures_pause=timedelta(0, 0, 1)
        )
        here, nowhere = connect(settings.database_url), connect(away.database_url)
        figures = Figures()
        try:
            assert await figures.newest(nowhere, away) == b""
            read = await figures.newest(here, settings)
            assert b'leadsman_monitor_lag_rows{shard="all"} 0.0' in read
            assert await figures.newest(nowhere, away) == read
        finally:
            await here.dispose()
            await nowhere.dispose()

    asyncio.run(check())


def test_nothing_is_read_while_nobody_scrapes(database: str) -> None:
    async def check() -> None:
        await lay(database, bad_release(shipments=2, rows=5))
        settings = settings_for(database, figures_pause=timedelta(milliseconds=1))
        await catch_up(settings)
        engine, figures = connect(settings.database_url), Figures()
        try:
            assert not await _kept(figures, engine, settings)
            assert b"leadsman_monitor_lag_rows" in await figures.newest(engine, settings)
            figures.asked_at -= WANTED_S
            assert not await _kept(figures, engine, settings)
        finally:
            await engine.dispose()

    asyncio.run(check())


async def _kept(figures: Figures, engine: AsyncEngine, settings: Settings) -> bool:
    """Whether anything is read in a while that is many pauses long."""
    before = figures.read_at
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await figures.keep(engine, settings)
    return figures.read_at != before
