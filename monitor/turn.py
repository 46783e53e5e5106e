"""One turn: read, join, test, alarm, alert, decide, save; all of it in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts.recovery import test_recovery
from monitor.evaluation.memory import Memory
from monitor.evaluation.overdue import test_overdue
from monitor.evaluation.watching import feed_watches, learn_references
from monitor.feed.join import join
from monitor.quiet import find_quiet
from monitor.raising import close_stale, raise_alarm
from monitor.records import Alarm, Position, Registry, Watch
from monitor.remedies.verification import verify_remedies
from monitor.settings import Settings
from monitor.shards import Shard
from monitor.signals import Extracted, extract
from monitor.signals.base import AUC, COVERAGE, is_of
from monitor.store import cursors, due, record
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.store.budgets import read_histories
from monitor.store.summaries import draw
from monitor.views.drawing import points_of
from monitor.wall_clock import Clock


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn did."""

    until: Position
    predictions: int
    labels: int
    observations: int
    alarms: int
    drained: bool
    """Whether it took all that there was to read."""


LISTENING = timedelta(seconds=10)
"""Pause between two looks for silences: each asks all applications, and none is told of a silence
shorter than a minute unless an operator says so."""

CURRENT = timedelta(minutes=1)
"""A newest row older than this is behind the world; no silence shorter than it is told."""


async def take_turn(
    connection: AsyncConnection,
    settings: Settings,
    clock: Clock,
    shard: Shard,
    memory: Memory | None = None,
) -> Turned | None:
    """Consume the next shipments, if there are any; of their rows those of the shard's
    applications.

    Everything that follows from them is written through `connection`; who commits it moves the
    cursor with it and tells `memory`, and who does not has done nothing.

    Parameters
    ----------
    memory
        What earlier turns of the shard left, which spares reading it again.
    """
    memory = memory or Memory()
    after = await cursors.lock_cursor(connection, shard)
    memory.at_place(after)
    now = clock()
    shipments, drained = await record.read_next(connection, after, rows=settings.turn_rows)
    if shard.until is not None:
        shipments = [s for s in shipments if s.position <= shard.until]
    # A transaction that is open anywhere holds shipments back that may come before it: what is
    # there and cannot be read yet is no silence. With rows it is asked when it is time, since the
    # traffic of one application may leave no turn without any.
    read_to = shipments[-1].position if shipments else after
    asks = drained and (not shipments or (_is_time(memory, now) and _is_current(shipments, now)))
    listens = asks and not await record.is_unread(connection, read_to)
    whole = await _registry(connection, settings, shard, memory)
    registry = shard.restrict(whole)
    if not shipments:
        if listens:
            for watch, alarm in await _listen(connection, registry, settings, memory, now):
                await raise_alarm(
                    connection, watch, alarm, registry=registry, settings=settings, clock=clock
                )
        await close_stale(connection, registry, registry.applications, clock)
        return None
    until = read_to
    answers, labels = await record.read_rows(
        connection, shipments, shard.applications(whole.applications)
    )
    stretch = join(answers, labels, after=after, until=until)
    await learn_references(connection, memory, stretch, registry)
    profiles = {version: known.profile for version, known in memory.known.items()}
    extracted = extract(stretch, registry, profiles)
    await _draw(connection, extracted, settings)
    drawn = set(extracted)
    found = await feed_watches(
        connection, stretch, extracted, registry=registry, settings=settings, memory=memory
    )
    # What only one watch asks for; of AUC no single row tells anything, and how many predictions
    # have labels is drawn from what is counted.
    undrawn = [key for key in extracted if is_of(key[1], AUC) or key[1] == COVERAGE]
    more = {key: one for key, one in extracted.items() if key not in {*drawn, *undrawn}}
    await _draw(connection, more, settings)
    if listens:
        found += await _listen(connection, registry, settings, memory, now)
    for watch, alarm in found:
        await raise_alarm(
            connection, watch, alarm, registry=registry, settings=settings, clock=clock
        )
    touched = sorted({application for application, _ in extracted})
    if await due.anything_stands(connection, touched):
        await test_recovery(connection, extracted, registry, clock)
        await verify_remedies(connection, extracted, registry, settings, clock)
        await close_stale(connection, registry, touched, clock)
    await cursors.move_cursor(connection, shard, until)
    return Turned(
        until,
        sum(s.predictions for s in shipments),
        sum(s.feedback for s in shipments),
        sum(map(len, extracted.values())),
        len(found),
        drained,
    )


async def _listen(
    connection: AsyncConnection,
    registry: Registry,
    settings: Settings,
    memory: Memory,
    now: datetime,
) -> list[tuple[Watch, Alarm]]:
    """What no row tells, where all that was shipped before `now` has been read."""
    raised = await test_overdue(connection, registry, settings, memory, now)
    if _is_time(memory, now):
        quiet = await find_quiet(connection, registry, now)
        for watch, _ in quiet:
            memory.drop(watch.application_id)
        raised += quiet
        memory.listened = now
    return raised


def _is_time(memory: Memory, now: datetime) -> bool:
    return memory.listened is None or not now - LISTENING < memory.listened <= now


def _is_current(shipments: Sequence[record.Shipment], now: datetime) -> bool:
    """Whether their rows are of now: after an outage there are older ones, and more to come."""
    reached = [at for s in shipments for at in (s.predicted_to, s.received_to) if at is not None]
    return bool(reached) and now - max(reached) < CURRENT


async def _draw(connection: AsyncConnection, extracted: Extracted, settings: Settings) -> None:
    """Save the sums that plots are drawn from."""
    await draw(connection, points_of(extracted, settings.series_step_us))


async def _registry(
    connection: AsyncConnection, settings: Settings, shard: Shard, memory: Memory
) -> Registry:
    """What serving knows by name, read anew where it has changed; new applications get watches."""
    token = await registry_store.read_token(connection)
    if memory.registry is None or memory.token != token:
        memory.registry = await registry_store.read_registry(connection)
        mine = shard.restrict(memory.registry).applications
        await watch_store.add_default_watches(connection, mine, settings.remedy_mode)
        memory.budgets = await read_histories(connection)
        memory.known, memory.token = {}, token
    return memory.registry
