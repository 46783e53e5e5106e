"""Reads what the record says in numbers, beside the loop, and keeps it ready for Prometheus.

With 200 applications these are some ten thousand lines: too much to read and write in the time that
a scrape may take. So a scrape gets the last reading, and is told when that was.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import generate_latest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor import metrics
from monitor.records import Registry
from monitor.settings import Settings, Tier
from monitor.store import automation, figures
from monitor.store.budgets import read_all_budgets
from monitor.store.database import DATABASE_AWAY
from monitor.store.registry import read_registry, read_token
from monitor.watches.budget import Own
from monitor.watches.watch import GUARANTEED

THRESHOLD = 1.0
"""Every guaranteed detector alarms at evidence of 1: its budget is part of the evidence."""

SHARE, LONGEST = 0.005, 9
"""Part of a core that reading may cost, and how many usual pauses it may wait for that at most:
alert rules speak up when nothing was read for two minutes."""
WANTED_S = 300.0
"""Seconds after a scrape in which the next is to find a fresh reading. Where nobody scrapes,
nothing is read: of thousands of applications it would cost more than watching them."""

log = logging.getLogger("monitor.views.figures")


@dataclass(slots=True)
class Figures:
    """The last reading."""

    text: bytes | None = None
    """In Prometheus' text form; none before the first reading."""
    read_at: float = 0.0
    """By the monotonic clock."""
    asked_at: float = float("-inf")
    """When somebody wanted it last, by the same clock."""
    cost: float = 0.0
    """Seconds of the processor that it took."""
    _registry: Registry | None = None
    _token: tuple[str | None, ...] = ()
    """What serving knows by name, and what differs when that has changed."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keep(self, engine: AsyncEngine, settings: Settings) -> None:
        """Read again and again until cancelled, while somebody asks. While Postgres is away the
        last reading stays."""
        while True:
            try:
                if time.monotonic() - self.asked_at < WANTED_S:
                    await self.read(engine, settings)
            except DATABASE_AWAY as error:
                log.warning("figures_not_read error=%s", error)
            await asyncio.sleep(self.pause(settings))

    def pause(self, settings: Settings) -> float:
        """Seconds until it is read again: longer where so much is there that it would cost more."""
        usual = settings.figures_pause.total_seconds()
        return max(usual, min(self.cost / SHARE, LONGEST * usual))

    async def read(self, engine: AsyncEngine, settings: Settings) -> bytes:
        """Read now."""
        async with self._lock:
            began = time.process_time()
            async with engine.connect() as connection:
                token = await read_token(connection)
                if self._registry is None or token != self._token:
                    self._registry, self._token = await read_registry(connection), token
                reading = await _look(connection, self._registry)
            # In a thread: with many applications it takes some tenths of a second.
            self.text = await asyncio.to_thread(_tell, reading, settings)
            self.read_at, self.cost = time.monotonic(), time.process_time() - began
            return self.text

    async def newest(self, engine: AsyncEngine, settings: Settings) -> bytes:
        """The last reading; one is made where none is kept up to date."""
        self.asked_at = time.monotonic()
        stale = self.asked_at - self.read_at > 3 * self.pause(settings)
        if self.text is None or (stale and not self._lock.locked()):
            try:
                return await self.read(engine, settings)
            except DATABASE_AWAY as error:
                log.warning("figures_not_read error=%s", error)
        return self.text or b""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was found in the record."""

    registry: Registry
    stands: figures.Rows
    lags: figures.Rows
    opened: figures.Rows
    remedies: figures.Rows
    deliveries: figures.Rows
    switches: dict[int | None, automation.Switch]
    budgets: Mapping[int, Own]
    newest: figures.Rows
    covered: figures.Rows


async def _look(connection: AsyncConnection, registry: Registry) -> _Reading:
    stands = await figures.read_stands(connection)
    subjects = sorted(
        {
            (row.application_id, row.subject)
            for row in stands
            if "|" not in row.subject and "," not in row.subject and _serves(registry, row)
        }
    )
    newest, covered = await figures.read_newest(connection, subjects)
    return _Reading(
        registry,
        stands,
        await figures.read_lags(connection),
        await figures.read_open_alerts(connection),
        await figures.read_remedies(connection),
        await figures.read_deliveries(connection),
        await automation.read_switches(connection),
        await read_all_budgets(connection),
        newest,
        covered,
    )


def _tell(reading: _Reading, settings: Settings) -> bytes:
    """Set every gauge anew, and write them. Nobody else touches them meanwhile: the lock of the
    figures is held."""
    registry = reading.registry
    for tier in Tier:
        metrics.BUDGET.labels(tier.value).set(settings.budget(tier))
    metrics.OWN_BUDGET.clear()
    for number, own in reading.budgets.items():
        for tier, per_year in own.items():
            metrics.OWN_BUDGET.labels(registry.applications[number].name, tier.value).set(per_year)
    _watches(registry, reading.stands)
    _progress(reading.lags, reading.deliveries)
    _changes(registry, reading.opened, reading.remedies)
    _labels(registry, reading.newest, reading.covered)
    metrics.AUTOMATION.clear()
    for number in {row.application_id for row in reading.stands}:
        enabled = automation.effective(reading.switches, number).enabled
        metrics.AUTOMATION.labels(registry.applications[number].name).set(enabled)
    metrics.FIGURES_AT.set_to_current_time()
    return generate_latest(metrics.RECORD)


def _progress(lags: figures.Rows, deliveries: figures.Rows) -> None:
    """What waits: shipments to be read, deliveries to be sent."""
    for gauge in (metrics.LAG_SHIPMENTS, metrics.LAG_ROWS, metrics.LAG_SECONDS):
        gauge.clear()
    for lag in lags:
        metrics.LAG_SHIPMENTS.labels(lag.shard).set(lag.shipments)
        metrics.LAG_ROWS.labels(lag.shard).set(lag.rows)
        metrics.LAG_SECONDS.labels(lag.shard).set(lag.seconds)
    by_state = {row.state: row for row in deliveries}
    for state in ("waiting", "dead"):
        number = by_state[state].n if state in by_state else 0
        metrics.DELIVERIES_WAITING.labels(state).set(number)
    metrics.DELIVERY_AGE.set(by_state["waiting"].seconds if "waiting" in by_state else 0)


def _changes(registry: Registry, opened: figures.Rows, remedies: figures.Rows) -> None:
    """What people are told of, and what is done about it."""
    for gauge in (metrics.ALERTS, metrics.REMEDIES_WAITING, metrics.REMEDY_OUTCOMES):
        gauge.clear()
    for row in opened:
        name = registry.applications[row.application_id].name
        metrics.ALERTS.labels(name, row.tier, row.state).set(row.n)
    for row in remedies:
        name = registry.applications[row.application_id].name
        if row.outcome is None:
            metrics.REMEDIES_WAITING.labels(name, row.state).set(row.n)
        else:
            metrics.REMEDY_OUTCOMES.labels(name, row.outcome).inc(row.n)


def _labels(registry: Registry, newest: figures.Rows, covered: figures.Rows) -> None:
    """What labels say of versions in service, and how labels come."""
    for gauge in (metrics.LOSS, metrics.LABEL_DELAY, metrics.LABEL_COVERAGE):
        gauge.clear()
    for row in newest:
        gauge = metrics.LOSS if row.signal == "loss" else metrics.LABEL_DELAY
        name = registry.applications[row.application_id].name
        gauge.labels(name, registry.subject_name(row.subject)).set(row.mean)
    for row in covered:
        name = registry.applications[row.application_id].name
        share = min(row.labelled / row.answered, 1.0)
        metrics.LABEL_COVERAGE.labels(name, registry.subject_name(row.subject)).set(share)


def _watches(registry: Registry, stands: figures.Rows) -> None:
    """What watches say of versions in service, and what all of them took from their budgets."""
    for gauge in (metrics.STATISTIC, metrics.THRESHOLD, metrics.WATCHES, metrics.GRANTED,
                  metrics.SPENT):  # fmt: skip
        gauge.clear()
    said: Counter[tuple[str, str, str, str]] = Counter()
    for row in stands:
        name = registry.applications[row.application_id].name
        if row.detector in GUARANTEED:
            metrics.GRANTED.labels(name, row.tier).inc(row.granted)
            metrics.SPENT.labels(name, row.tier).inc(row.alarms)
        if not _serves(registry, row):
            continue
        versions, _, segment = row.subject.partition("|")
        metrics.STATISTIC.labels(
            name, row.name, registry.subject_name(versions), segment, row.tier
        ).set(row.statistic)
        if row.detector in GUARANTEED:
            metrics.THRESHOLD.labels(name, row.name).set(THRESHOLD)
        said[name, row.name, row.tier, row.status] += 1
    for labels, number in said.items():
        metrics.WATCHES.labels(*labels).set(number)


def _serves(registry: Registry, row: Row[Any]) -> bool:
    """Whether all versions of a subject are in service."""
    route = registry.routes.get(row.application_id)
    current = route.current if route else None
    numbers = [int(part) for part in row.subject.partition("|")[0].split(",")]
    return current is not None and all(
        number in registry.versions and registry.versions[number].name in current.versions
        for number in numbers
    )
