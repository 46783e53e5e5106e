"""One turn: read, join, test, alarm, alert, decide, save; all of it in the caller's transaction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.feed import join
from monitor.memory import Memory
from monitor.moments import from_micros
from monitor.quiet import find_quiet
from monitor.raising import close_stale, raise_alarm
from monitor.records import Position, Registry
from monitor.recovery import test_recovery
from monitor.settings import Settings
from monitor.shards import Shard
from monitor.signals import Extracted, Observations, extract
from monitor.signals.base import AUC, QUALITY
from monitor.store import alarms as alarm_store
from monitor.store import cursors, due, record
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.store.summaries import add_summaries
from monitor.verification import verify_remedies
from monitor.wall_clock import Clock
from monitor.watching import feed_watches, learn_references

Floats = NDArray[np.float64]


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
        for watch, alarm in await find_quiet(connection, registry, clock()):
            await raise_alarm(
                connection, watch, alarm, registry=registry, settings=settings, clock=clock
            )
        await close_stale(connection, registry, registry.applications)
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
    # What only one watch asks for; of AUC no single row tells anything.
    more = {key: one for key, one in extracted.items() if key not in drawn and key[1] != AUC}
    await _draw(connection, more, settings)
    for watch, alarm in found:
        await raise_alarm(
            connection, watch, alarm, registry=registry, settings=settings, clock=clock
        )
    touched = sorted({application for application, _ in extracted})
    if await due.anything_stands(connection, touched):
        await test_recovery(connection, extracted, registry, settings)
        await verify_remedies(connection, extracted, registry, settings, clock)
        await close_stale(connection, registry, touched)
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
    points = _points(extracted, settings.series_step_us)
    await alarm_store.add_points(connection, points)
    await add_summaries(connection, points)


async def _registry(
    connection: AsyncConnection, settings: Settings, shard: Shard, memory: Memory
) -> Registry:
    """What serving knows by name, read anew where it has changed; new applications get watches."""
    token = await registry_store.read_token(connection)
    if memory.registry is None or memory.token != token:
        memory.registry = await registry_store.read_registry(connection)
        mine = shard.restrict(memory.registry).applications
        await watch_store.add_default_watches(connection, mine, settings.remedy_mode)
        memory.known, memory.token = {}, token
    return memory.registry


def _points(extracted: Extracted, step_us: int) -> list[alarm_store.Point]:
    points: list[alarm_store.Point] = []
    for (application, signal), seen in extracted.items():
        if not seen.columns:
            points += _sums(application, signal, seen, seen.value, step_us)
            continue
        family = signal.partition(".")[0]
        for number, name in enumerate(seen.columns):
            value = seen.value[:, number]
            # Of quality only the stretches with faults are kept: most have none.
            if signal != QUALITY or np.nansum(value):
                points += _sums(application, f"{family}.{name}", seen, value, step_us)
    return points


def _sums(
    application: int, signal: str, seen: Observations, value: Floats, step_us: int
) -> list[alarm_store.Point]:
    stretch, place = np.unique(seen.at // step_us, return_inverse=True)
    cell = place * len(seen.names) + seen.code
    known = ~np.isnan(value)
    if not known.all():
        cell, value = cell[known], value[known]
    size = len(stretch) * len(seen.names)
    counts = np.bincount(cell, minlength=size)
    totals = np.bincount(cell, value, size)
    squares = np.bincount(cell, np.square(value), size)
    return [
        alarm_store.Point(
            application,
            signal,
            seen.names[number % len(seen.names)],
            from_micros(int(stretch[number // len(seen.names)]) * step_us),
            Sums(int(counts[number]), float(totals[number]), float(squares[number])),
        )
        for number in np.flatnonzero(counts).tolist()
    ]
