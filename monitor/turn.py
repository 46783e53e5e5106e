"""One turn: read, join, test, alarm, alert, decide, save; all of it in the caller's transaction."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import budget
from monitor.detector_state import Subject, from_row
from monitor.evaluation import run_watch
from monitor.evidence import Sums
from monitor.feed import join
from monitor.moments import from_micros
from monitor.raising import close_stale, raise_alarm
from monitor.records import Alarm, Position, Registry, Watch
from monitor.settings import Settings
from monitor.signals import Extracted, extract
from monitor.store import alarms as alarm_store
from monitor.store import cursors, record
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.verification import verify_remedies
from monitor.wall_clock import Clock


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn did."""

    until: Position
    predictions: int
    labels: int
    observations: int
    alarms: int


async def take_turn(connection: AsyncConnection, settings: Settings, clock: Clock) -> Turned | None:
    """Consume the next shipments, if there are any.

    Everything that follows from them is written through `connection`; who commits it moves the
    cursor
    with it, and who does not has done nothing.
    """
    after = await cursors.lock_cursor(connection, settings.shard)
    shipments = await record.read_shipments(connection, after, rows=settings.turn_rows)
    registry = await registry_store.read_registry(connection)
    await watch_store.add_default_watches(connection, registry.applications, settings.remedy_mode)
    if not shipments:
        await close_stale(connection, registry, settings)
        return None
    until = shipments[-1].position
    answers, labels = await record.read_rows(connection, shipments)
    extracted = extract(join(answers, labels, after=after, until=until), registry)
    await alarm_store.add_points(connection, _points(extracted, settings.series_step_us))
    found = await evaluate(connection, extracted, registry, settings)
    for watch, alarm in found:
        await raise_alarm(
            connection, watch, alarm, registry=registry, settings=settings, clock=clock
        )
    await verify_remedies(connection, extracted, registry, settings)
    await close_stale(connection, registry, settings)
    await cursors.move_cursor(connection, settings.shard, until)
    return Turned(
        until,
        sum(s.predictions for s in shipments),
        sum(s.feedback for s in shipments),
        sum(map(len, extracted.values())),
        len(found),
    )


async def evaluate(
    connection: AsyncConnection, extracted: Extracted, registry: Registry, settings: Settings
) -> list[tuple[Watch, Alarm]]:
    """Feed every watch and save its states; the alarms in the order of their times and watches."""
    found: list[tuple[Watch, Alarm]] = []
    for application_id in sorted({a for a, _ in extracted}):
        application = registry.applications[application_id]
        watches = await watch_store.read_watches(connection, application_id)
        yearly = budget.budgets(watches, settings)
        concerned = [w for w in watches if w.enabled and (application_id, w.signal) in extracted]
        subjects: dict[int, dict[str, Subject]] = {watch.id: {} for watch in concerned}
        by_id = {watch.id: watch for watch in concerned}
        for state in await watch_store.read_states(connection, list(by_id)):
            subjects[state.watch_id][state.subject] = from_row(by_id[state.watch_id], state)
        references: dict[str, list[float] | None] = {}
        for watch in concerned:
            observations = extracted[application_id, watch.signal]
            for name in set(observations.names) - subjects[watch.id].keys() - references.keys():
                references[name] = await registry_store.read_reference_losses(
                    connection, int(name.split(",")[0]), application.task
                )
            tested = run_watch(
                watch,
                observations,
                subjects[watch.id],
                references,
                task=application.task,
                budget_per_year=yearly.get(watch.id, 0.0),
                time_scale=settings.time_scale,
            )
            found.extend((watch, alarm) for alarm in tested.alarms)
            if tested.clock is not None:
                await watch_store.move_clock(connection, watch.id, tested.clock)
            for subject in tested.touched:
                await watch_store.save_state(connection, subject.to_row())
    found.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
    return found


def _points(extracted: Extracted, step_us: int) -> list[alarm_store.Point]:
    points = []
    for (application, signal), seen in extracted.items():
        stretch, place = np.unique(seen.at // step_us, return_inverse=True)
        cell = place * len(seen.names) + seen.code
        size = len(stretch) * len(seen.names)
        counts = np.bincount(cell, minlength=size)
        totals = np.bincount(cell, seen.value, size)
        squares = np.bincount(cell, np.square(seen.value), size)
        for number in np.flatnonzero(counts).tolist():
            points.append(
                alarm_store.Point(
                    application,
                    signal,
                    seen.names[number % len(seen.names)],
                    from_micros(int(stretch[number // len(seen.names)]) * step_us),
                    Sums(int(counts[number]), float(totals[number]), float(squares[number])),
                )
            )
    return points
