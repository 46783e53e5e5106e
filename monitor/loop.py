"""The loop: a turn whenever records arrive, then what it decided, then what people are to be
told."""

import asyncio
import gc
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import asyncpg
import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor import metrics
from monitor.channels.outbox import Outbox
from monitor.errors import LeaseLostError
from monitor.evaluation.memory import Memory
from monitor.remedies.actor import act_on_due
from monitor.remedies.settling import settle
from monitor.retention import Retention
from monitor.serving_client import ServingClient
from monitor.settings import Settings
from monitor.shards import Shard
from monitor.store.database import DATABASE_AWAY, plain
from monitor.store.due import read_due
from monitor.tenure import Tenure
from monitor.turn import Turned, take_turn
from monitor.wall_clock import Clock, utc_now
from monitor.watches.failure import said_of

log = logging.getLogger("monitor.loop")

WHOLE = Shard()
"""Everything, read by a right that nobody else claims."""
CHANNEL = "leadsman_shipments"
"""Serving notifies here after each shipment."""

Ended = Literal["nothing", "failed"]
"""A turn that found nothing to read, and one of which nobody knows what it left unread."""
NOTHING: Final = "nothing"
FAILED: Final = "failed"


@dataclass(slots=True)
class Pulse:
    """Signs of life, for readiness."""

    last_turn_at: datetime | None = None
    last_error: str | None = None
    caught_up: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    wake_hands: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where something was decided: it is looked at once what is due."""
    clock: Clock = utc_now


async def turn_once(
    engine: AsyncEngine,
    settings: Settings,
    clock: Clock = utc_now,
    shard: Shard = WHOLE,
    memory: Memory | None = None,
) -> Turned | None:
    """One turn in one transaction; none where there is nothing to read."""
    memory = memory or Memory()
    with metrics.TURNS.time():
        try:
            async with engine.begin() as connection:
                turned = await take_turn(connection, settings, clock, shard, memory)
        except BaseException:
            memory.forget()
            raise
    memory.committed(None if turned is None else turned.until)
    if turned is not None:
        metrics.ROWS.labels("prediction").inc(turned.predictions)
        metrics.ROWS.labels("feedback").inc(turned.labels)
        metrics.OBSERVATIONS.inc(turned.observations)
    return turned


async def run(engine: AsyncEngine, settings: Settings, pulse: Pulse) -> None:
    """Run until cancelled, by the pulse's clock. Reading, acting and delivering go on beside each
    other: a slow receiver delays no test."""
    clock = pulse.clock
    tenure = Tenure(settings)
    key = settings.serving_key.get_secret_value() if settings.serving_key else None
    client = ServingClient(settings.serving_url, key)
    deliverer = httpx.AsyncClient(timeout=settings.webhook_timeout.total_seconds(), trust_env=False)
    outbox = Outbox(engine, deliverer, settings, clock)
    act = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_attend(settings, pulse, act, outbox))
            group.create_task(tenure.keep(engine))
            group.create_task(_read(engine, settings, pulse, tenure))
            group.create_task(_act(engine, client, settings, act, clock))
            group.create_task(outbox.run())
            group.create_task(_retain(engine, settings, clock))
    finally:
        await client.close()
        await deliverer.aclose()


async def _read(engine: AsyncEngine, settings: Settings, pulse: Pulse, tenure: Tenure) -> None:
    pause = settings.poll_interval.total_seconds()
    loop = asyncio.get_running_loop()
    memories: dict[str, Memory] = {}
    looked, before = -pause, loop.time()
    while True:
        pulse.wake.clear()
        tenure.changed.clear()
        shards = tenure.shards
        metrics.SHARDS_HELD.set(len(shards))
        if not shards:
            # Others read everything, or Postgres is away: then the heartbeat has said so.
            pulse.last_error = tenure.last_error
            if tenure.is_in_touch:
                pulse.last_turn_at, pulse.caught_up = pulse.clock(), True
            await _wait(tenure.changed, min(pause, 0.1) if tenure.is_in_touch else 0.05)
            continue
        began, spent = loop.time(), time.process_time()
        ended = [
            await _turn(engine, settings, pulse, tenure, shard=shard, memories=memories)
            for shard in shards
        ]
        spent = time.process_time() - spent
        turned = [one for one in ended if isinstance(one, Turned)]
        behind = any(not one.drained for one in turned)
        # Of what a turn that failed left unread nobody knows how much it is.
        pulse.caught_up = not behind and FAILED not in ended
        now = loop.time()
        if not turned:
            looked = now
        # A turn that finds nothing looks after what no row tells, such as silence. It follows on a
        # turn that took all there was, but not on each: traffic would pay for it with every row.
        if not behind and (now - looked < pause):
            await _wait(pulse.wake, pause)
        if not behind:
            rows = sum(one.predictions + one.labels for one in turned)
            rest = rest_after(rows, spent, began - before, LONGEST_REST * pause)
            await asyncio.sleep(began + rest - loop.time())
        before = began


async def _turn(
    engine: AsyncEngine,
    settings: Settings,
    pulse: Pulse,
    tenure: Tenure,
    *,
    shard: Shard,
    memories: dict[str, Memory],
) -> Turned | Ended:
    """One turn of one shard: what it did, or that there was nothing to read, or that it failed."""
    memory = memories.setdefault(shard.name, Memory())
    known = memory.registry
    try:
        turned = await turn_once(engine, settings, pulse.clock, shard, memory)
        pulse.last_turn_at, pulse.last_error = pulse.clock(), None
        metrics.LAST_TURN.set_to_current_time()
    except LeaseLostError as error:
        log.warning("lease_lost shard=%s detail=%s", shard.name, error.detail)
        tenure.lose(shard)
        return FAILED
    except DATABASE_AWAY as error:
        metrics.TURN_FAILURES.inc()
        pulse.last_error = f"{type(error).__name__}: {error}"
        log.warning("turn_failed error=%s", pulse.last_error)
        return FAILED
    # What no watch is to blame for is undone and taken again; other shards, deliveries and the API
    # go on, and readiness says it.
    except Exception as error:
        metrics.TURN_FAILURES.inc()
        pulse.last_error = said_of(error)
        log.exception("turn_failed error=%s", pulse.last_error)
        return FAILED
    if memory.registry is not known:
        _spare_what_stays()
    if turned is None:
        return NOTHING
    if turned.alarms:
        pulse.wake_hands.set()
    return turned


def _spare_what_stays() -> None:
    """Leave alone what lives on: the names of thousands of applications are some hundred thousand
    objects, and passes of the garbage collector over them were a sixth of an idle monitor's
    time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


YOUNG, MIDDLE, OLD = 10_000, 20, 50
"""Objects that are made before the young ones are looked at, young passes before a middle one, and
middle passes before an old one: what turns make hardly ever forms cycles."""


def rest_after(rows: int, spent: float, gathered: float, longest: float) -> float:
    """Least seconds from the beginning of a turn to that of the next.

    A turn for a few rows costs nearly what one for many does: shipments that come close together
    are read together, also where answers wait for each and hundreds come.
    Where hardly anything comes, nobody waits for it: a handful of rows decides no test.

    Parameters
    ----------
    rows
        Predictions and labels that the turn found.
    spent
        Seconds of the processor that it cost.
    gathered
        Seconds in which they came: since the beginning of the turn before.
    longest
        Rest that no cost exceeds.
    """
    if rows < max(HARDLY_ANY, HARDLY_ANY_A_SECOND * gathered):
        return max(GATHERING_S, min(longest, spent / IDLE_SHARE))
    return GATHERING_S


GATHERING_S = 0.1
"""Least time between the beginnings of two turns of which the first took all there was."""
HARDLY_ANY, HARDLY_ANY_A_SECOND = 32, 16
"""Rows below which turns may take a small share of the time only, however soon they came, or in so
long."""
IDLE_SHARE = 0.02
"""That share."""
LONGEST_REST = 3
"""Pauses between two looks at a record to which nothing is added: the longest rest."""

HANDS_PAUSE_S = 0.5
"""Pause between two looks at what is to be done."""


async def _act(
    engine: AsyncEngine,
    client: ServingClient,
    settings: Settings,
    due: asyncio.Event,
    clock: Clock,
) -> None:
    while True:
        await due.wait()
        due.clear()
        try:
            await act_on_due(engine, client, settings, clock)
            await settle(engine, client, settings, clock)
        except DATABASE_AWAY as error:
            log.warning("acting_failed error=%s", error)


async def _retain(engine: AsyncEngine, settings: Settings, clock: Clock) -> None:
    retention = Retention(settings, clock)
    while True:
        try:
            await retention.drop(engine)
        except DATABASE_AWAY as error:
            log.warning("retention_failed error=%s", error)
        await asyncio.sleep(settings.retention_pause.total_seconds())


async def _attend(settings: Settings, pulse: Pulse, act: asyncio.Event, outbox: Outbox) -> None:
    """Hear of shipments and look for what is due, over one connection, for ever.

    The poll stands behind it: a lost notification costs the reader a pause.
    """
    while True:
        try:
            await _attend_once(settings, pulse, act, outbox)
        except DATABASE_AWAY as error:
            log.info("attending_failed error=%s", error)
        await asyncio.sleep(HANDS_PAUSE_S)


async def _attend_once(
    settings: Settings, pulse: Pulse, act: asyncio.Event, outbox: Outbox
) -> None:
    connection = await asyncpg.connect(plain(settings.database_url), command_timeout=COMMAND_S)
    try:
        await connection.add_listener(CHANNEL, lambda *_: pulse.wake.set())
        while True:
            pulse.wake_hands.clear()
            due, now = await read_due(connection), pulse.clock()
            if due.unsettled or (due.remedy_at is not None and due.remedy_at <= now):
                act.set()
            if due.delivery_at is not None and due.delivery_at <= now:
                outbox.wake.set()
            await _wait(pulse.wake_hands, HANDS_PAUSE_S)
    finally:
        connection.terminate()


COMMAND_S = 10.0
"""A Postgres that says nothing for so long is taken for lost."""


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
