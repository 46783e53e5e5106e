"""Alarms as tests raise them, without the labels that would lead there."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.raising import raise_alarm
from monitor.records import Alarm, Remedy, Watch
from monitor.remedies.actor import act_on_due
from monitor.remedies.deciding import names_in_alarm
from monitor.remedies.settling import settle
from monitor.serving_client import ServingClient
from monitor.settings import Mode, Settings, Tier
from monitor.store import registry as registry_store
from monitor.store import remedies as remedy_store
from monitor.store import watches as watch_store
from monitor.wall_clock import Clock, utc_now
from monitor.watches.watch import WatchForm

Rule = list[dict[str, Any]]


def evidence(signal: str = "loss", *, guaranteed: bool = True) -> dict[str, Any]:
    """What an alarm's evidence holds at least."""
    mean = {"low": 0.3, "high": 0.5, "steps": 100, "rows": 100, "level": 0.95, "method": "Wilson"}
    return {
        "signal": signal,
        "guaranteed": guaranteed,
        "promise": "At most 0.05 false alarms a year are expected of this watch.",
        "budget_per_year": 0.05,
        "unit": "row",
        "unit_reason": "A test says so.",
        "parameters": {"clip": 1.0},
        "before": mean | {"mean": 0.1},
        "after": mean | {"mean": 0.4},
        "onset": None,
        "trace": [],
        "segment": None,
        "moved": [],
    }


def alarm_of(watch: Watch, subject: str, at: datetime, **changes: Any) -> Alarm:
    """An alarm of a watch."""
    return Alarm(
        watch.id,
        watch.application_id,
        subject,
        watch.tier,
        at,
        60,
        UUID(int=1),
        None,
        at,
        1.2,
        1.0,
        evidence(watch.signal, **changes),
    )


async def add_watch(
    engine: AsyncEngine,
    name: str,
    rule: Rule,
    *,
    mode: Mode = Mode.ACT,
    signal: str = "loss",
    tier: Tier = Tier.ROLLBACK,
) -> Watch:
    """A watch of application 1 with a rule."""
    form = WatchForm(name, signal, "bounded-mean", tier, rule[0]["kind"], {}, rule=rule)
    async with engine.begin() as connection:
        watch = await watch_store.add_watch(connection, 1, form, mode)
    assert watch is not None
    return watch


async def alarm(
    engine: AsyncEngine,
    settings: Settings,
    watch: Watch,
    subject: str = "2",
    clock: Clock = utc_now,
) -> None:
    """Let a watch alarm about a subject, in a transaction of its own."""
    async with engine.begin() as connection:
        await raise_alarm(
            connection,
            watch,
            alarm_of(watch, subject, datetime.now(UTC)),
            registry=await registry_store.read_registry(connection),
            settings=settings,
            clock=clock,
        )


async def act(
    engine: AsyncEngine, settings: Settings, serving_url: str, clock: Clock = utc_now
) -> None:
    """One round of the monitor's hands."""
    client = ServingClient(serving_url, "lsm_key")
    try:
        await act_on_due(engine, client, settings, clock)
        await settle(engine, client, settings, clock)
    finally:
        await client.close()


async def remedies_of(engine: AsyncEngine) -> list[Remedy]:
    """All remedies, oldest first."""
    async with engine.begin() as connection:
        return list(reversed(await remedy_store.read_remedies(connection)))


async def in_alarm(engine: AsyncEngine) -> frozenset[str]:
    """Names of versions to which no traffic may move."""
    async with engine.begin() as connection:
        registry = await registry_store.read_registry(connection)
        return await names_in_alarm(connection, 1, registry)
