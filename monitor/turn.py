"""One turn: read, join, test, alarm, alert, decide, save; all of it in the caller's transaction."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts.recovery import test_recovery
from monitor.evaluation.memory import Memory
from monitor.evaluation.overdue import test_overdue
from monitor.evaluation.watching import feed_watches, learn_references
from monitor.feed.join import join
from monitor.quiet import find_quiet
from monitor.raising import close_stale, raise_alarm
from monitor.records import Position, Registry
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


LISTENING = timedelta(seconds=5)
"""Pause between two looks for silences: each asks all applications, and none is told of a silence
shorter than a minute unless an operator says so."""


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
    shipments, drained = await record.read_next(connection, after, rows=settings.turn_rows)
    if shard.until is not None:
        shipments = [s for s in shipments if s.position <= shard.until]
    whole = await _registry(connection, settings, shard, memory)
    registry = shard.restrict(whole)
    if not shipments:
        # A transaction that is open anywhere holds shipments back that may come before it: what
        # is there and cannot be read yet is no silence.
        if not await record.is_unread(connection, after):
            now = clock()
            raised = await test_overdue(connection, registry, settings, memory, now)
            if memory.listened is None or not now - LISTENING < memory.listened <= now:
                raised += await find_quiet(connection, registry, now)
                memory.listened = now
            for watch, alarm in raised:
                await raise_alarm(
                    connection, watch, alarm, registry=registry, settings=settings, clock=clock
                )
        await close_stale(connection, registry, registry.applications, clock)
        return None
    until = shipments[-1].position
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
