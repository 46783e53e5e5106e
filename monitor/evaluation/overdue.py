"""Predictions that grow old enough while nothing comes: labels may stop, and those that came count.

Rows wait for their age by the time of the record, so that any split into turns sees the same. Where
all of the record has been read and nothing more comes, that time stands still; then the clock goes
on in its place. What is tested so leaves its place in the same transaction, under the lock of the
cursor: it is tested once, whoever is killed meanwhile.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evaluation.detector_state import Subject
from monitor.evaluation.evaluate import mature, mature_after_us
from monitor.evaluation.memory import Memory
from monitor.evaluation.moved import moved
from monitor.evaluation.saved_state import to_rows
from monitor.evaluation.watching import all_kept, read_whole, told_failures
from monitor.moments import to_micros
from monitor.records import Alarm, Registry, Watch, WatchState
from monitor.settings import Settings
from monitor.store import watches as watch_store
from monitor.watches import budget
from monitor.watches.failure import Failure

# Few applications have such a watch: an index of these alone tells which.
_MATURING = text("""
    SELECT DISTINCT application_id FROM watches WHERE enabled AND settings ? 'mature_after'
""")


async def test_overdue(
    connection: AsyncConnection,
    registry: Registry,
    settings: Settings,
    memory: Memory,
    now: datetime,
) -> list[tuple[Watch, Alarm]]:
    """Test what has grown old enough by the clock; the alarms in the order of their times.

    Parameters
    ----------
    registry
        Of the shard's applications.
    now
        By the monitor's clock; all that was shipped before it has been read.
    """
    numbers = (await connection.execute(_MATURING)).scalars()
    mine = sorted(set(numbers) & set(registry.applications))
    if not mine:
        return []
    by_application: dict[int, list[Watch]] = {number: [] for number in mine}
    for watch in await watch_store.read_watches_of(connection, mine):
        by_application[watch.application_id].append(watch)
    found: list[tuple[Watch, Alarm]] = []
    states: list[WatchState] = []
    failures: list[Failure] = []
    for number, kept in (await all_kept(connection, memory, by_application)).items():
        watches = by_application[number]
        own = budget.held_since(memory.budgets.get(number, ()), settings, None)
        yearly = budget.budgets(watches, settings, own)
        raised: list[tuple[Watch, Alarm]] = []
        for watch in watches:
            if not watch.is_watching or mature_after_us(watch) is None:
                continue
            try:
                alarms, rows = _matured(
                    kept.subjects[watch.id].values(), yearly.get(watch.id, 0.0), to_micros(now)
                )
            # Whatever it is, it may not stop the other watches.
            except Exception as error:
                kept.fail(watch, error)
                continue
            raised += [(watch, alarm) for alarm in alarms]
            states += rows
        if raised:
            await read_whole(connection, [kept])
        for _, alarm in raised:
            alarm.evidence["moved"] = moved(kept.subjects.values(), alarm.subject)
        found += raised
        memory.keep(number, kept, {})
        failures += told_failures(kept, registry, now)
    await watch_store.save_states(connection, states)
    await watch_store.mark_failed(connection, failures)
    found.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
    return found


def _matured(
    subjects: Collection[Subject], budget_per_year: float, now_us: int
) -> tuple[list[Alarm], list[WatchState]]:
    """What one watch makes of rows that have grown old enough."""
    alarms: list[Alarm] = []
    names = set()
    for subject in subjects:
        waited = len(subject.waiting)
        alarms += mature(subject, budget_per_year=budget_per_year, now_us=now_us)
        if len(subject.waiting) < waited:
            names.add(subject.subject)
    return alarms, to_rows(one for one in subjects if one.subject in names)
