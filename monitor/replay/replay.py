"""The same tests over past rows: what would have happened. Nothing is written, nobody is told.

Rows of the record or of a file become the stretches that a turn consumes, and go the way of a turn:
the same signals, watches, detectors and grants.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from monitor.errors import InvalidRowsError, NotFoundError
from monitor.evaluation.memory import Memory
from monitor.evaluation.watching import learn_references
from monitor.feed.columns import Ids
from monitor.feed.join import Stretch, join
from monitor.moments import from_micros, to_micros
from monitor.records import SHADOW, START, Registry
from monitor.replay.file import NUMBER, FileRows, read_file
from monitor.replay.report import Change, Report
from monitor.replay.run import Past, Run
from monitor.settings import Settings
from monitor.signals import Extracted, extract
from monitor.signals.base import SERVICE
from monitor.store import record
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.store.budgets import read_budgets
from monitor.store.database import connect
from monitor.watches.entries import ReplaySettings, watches_of

Progress = Callable[[int, int | None], None]
"""Told the rows done and the rows there are, if that is known."""


def replay_file(
    path: Path,
    *,
    watches: ReplaySettings | None = None,
    settings: Settings | None = None,
    changes: Sequence[int] = (),
    progress: Progress | None = None,
) -> Report:
    """Run watches over the rows of a CSV or Parquet file.

    Parameters
    ----------
    path
        Columns as `monitor.replay.file` reads them.
    watches
        The default watches of an application when absent.
    settings
        Budgets; the defaults when absent.
    changes
        Rows at which something is known to have changed, from 0.

    Raises
    ------
    InvalidRowsError
        If the file cannot be read as rows.
    """
    return replay_file_with(
        path, [watches or ReplaySettings()], settings=settings, changes=changes, progress=progress
    )[0]


def replay_file_with(
    path: Path,
    configurations: Sequence[ReplaySettings],
    *,
    settings: Settings | None = None,
    changes: Sequence[int] = (),
    progress: Progress | None = None,
) -> list[Report]:
    """Run several configurations over the rows of a file, side by side.

    The file is read once, and its signals are extracted once where the configurations agree on what
    its rows are. See `replay_file`.
    """
    reports: dict[int, Report] = {}
    places: dict[tuple[str | None, int], list[int]] = {}
    for place, one in enumerate(configurations):
        places.setdefault((one.task, one.reference_rows), []).append(place)
    for (task, reference_rows), mine in places.items():
        started = time.perf_counter()
        rows = read_file(path, task=task, reference_rows=reference_rows)
        beyond = [row for row in changes if not 0 <= row < rows.rows]
        if beyond:
            raise InvalidRowsError(
                f"{path}, change at row {beyond[0]}", f"a row from 0 to {rows.rows - 1}", beyond[0]
            )
        past = Past(rows.registry, rows.known, rows.task, _row_of_file, rows.version_name)
        base = settings or Settings(database_url="")
        runs = [
            Run(past, watches_of(configurations[place], NUMBER), configurations[place], base)
            for place in mine
        ]
        _over(rows, runs, sorted(changes), progress)
        seconds = time.perf_counter() - started
        marks = [Change(row, from_micros(int(rows.at[row]))) for row in sorted(changes)]
        for place, run in zip(mine, runs, strict=True):
            reports[place] = run.report(rows.rows, seconds, marks)
    return [reports[place] for place in range(len(configurations))]


def _over(
    rows: FileRows, runs: Sequence[Run], changes: Sequence[int], progress: Progress | None
) -> None:
    marked = [int(rows.at[row]) for row in changes]
    profiles = {version: known.profile for version, known in rows.known.items()}
    done = rows.rows - len(rows.tested)
    for stretch in rows.stretches(cuts=marked):
        _note(runs, marked, int(stretch.answers.at[:1].sum()) if len(stretch.arrived) else None)
        extracted = extract(stretch, rows.registry, profiles)
        _without_latency(extracted)
        for run in runs:
            run.take(stretch, extracted)
        done += len(stretch.arrived)
        if progress is not None:
            progress(done, rows.rows)


def _note(runs: Sequence[Run], marked: Sequence[int], now: int | None) -> None:
    """Note what had been granted before each change that the stretch begins with or lies behind."""
    if now is None:
        return
    for number, at in enumerate(marked):
        if now >= at:
            for run in runs:
                run.mark(number)


def _without_latency(extracted: Extracted) -> None:
    """A file tells which answers were defaults, and nothing of latencies and errors."""
    seen = extracted.get((NUMBER, SERVICE))
    if seen is not None:
        kept = [place for place, name in enumerate(seen.columns) if name == "default"]
        extracted[NUMBER, SERVICE] = seen.with_columns(kept)


def _row_of_file(identifier: bytes) -> int:
    return int.from_bytes(identifier, "big")


async def replay_record(
    settings: Settings,
    application: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    watches: ReplaySettings | None = None,
    changes: Sequence[int] = (),
    progress: Progress | None = None,
) -> Report:
    """Run an application's watches over its record, from nothing; see `replay_record_with`."""
    return (
        await replay_record_with(
            settings,
            application,
            [watches],
            start=start,
            end=end,
            changes=changes,
            progress=progress,
        )
    )[0]


async def replay_record_with(
    settings: Settings,
    application: str,
    configurations: Sequence[ReplaySettings | None],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    changes: Sequence[int] = (),
    progress: Progress | None = None,
) -> list[Report]:
    """Run configurations over a stretch of an application's record, side by side, from nothing.

    Parameters
    ----------
    configurations
        None stands for the application's own watches as they are set.
    start, end
        What came to be known in [start, end) is consumed: arrivals by their time, labels by theirs.
    changes
        Rows at which something is known to have changed; rows are the requests in [start, end) in
        the order in which they were recorded, from 0.

    Raises
    ------
    NotFoundError
        If there is no such application.
    """
    started = time.perf_counter()
    engine = connect(settings.database_url)
    try:
        async with engine.connect() as connection:
            registry = await registry_store.read_registry(connection)
            found = next((a for a in registry.applications.values() if a.name == application), None)
            if found is None:
                raise NotFoundError("application", application)
            registry = _only(registry, found.id)
            own = await watch_store.read_watches(connection, found.id)
            allowed = ReplaySettings(budgets=dict(await read_budgets(connection, found.id)))
            memory, numbers = Memory(), _Numbers()
            past = Past(registry, memory.known, found.task, numbers.of, registry.subject_name)
            runs = [
                Run(past, watches_of(one, found.id, own), one or allowed, settings)
                for one in configurations
            ]
            after, marks = START, list[Change]()
            while shipments := await record.read_shipments(
                connection, after, rows=settings.turn_rows
            ):
                until = shipments[-1].position
                wanted = [s for s in shipments if _touches(s, start, end)]
                if wanted:
                    rows = await record.read_rows(connection, wanted, [found.id])
                    stretch = _between(join(*rows, after=after, until=until), start, end)
                    await learn_references(connection, memory, stretch, registry)
                    numbers.add(stretch)
                    marks += _marks(numbers, stretch, changes, len(marks), runs)
                    profiles = {version: one.profile for version, one in memory.known.items()}
                    extracted = extract(stretch, registry, profiles)
                    for run in runs:
                        run.take(stretch, extracted)
                    if progress is not None:
                        progress(numbers.count, None)
                after = until
            seconds = time.perf_counter() - started
            return [run.report(numbers.count, seconds, marks) for run in runs]
    finally:
        await engine.dispose()


def _only(registry: Registry, application: int) -> Registry:
    return Registry(
        {application: registry.applications[application]},
        registry.versions,
        registry.routes,
        registry.schemas,
    )


def _touches(shipment: record.Shipment, start: datetime | None, end: datetime | None) -> bool:
    """Whether a shipment may hold rows of [start, end)."""
    spans = (
        (shipment.predicted_from, shipment.predicted_to),
        (shipment.received_from, shipment.received_to),
    )
    return any(
        low is not None
        and high is not None
        and (start is None or high >= start)
        and (end is None or low < end)
        for low, high in spans
    )


def _between(stretch: Stretch, start: datetime | None, end: datetime | None) -> Stretch:
    """Arrivals and labels of [start, end)."""
    if start is None and end is None:
        return stretch
    low = _EVER if start is None else to_micros(start)
    high = _NEVER if end is None else to_micros(end)

    def within(at: np.ndarray) -> np.ndarray:
        inside: np.ndarray = (at >= low) & (at < high)
        return inside

    return stretch.cut(
        within(stretch.answers.at[stretch.arrived]),
        within(stretch.labels.at[stretch.received]),
        within(stretch.labels.at[stretch.labelled.label]),
        within(stretch.labels.at[stretch.pairs.label]),
    )


_EVER, _NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""Before and after every moment."""


@dataclass(slots=True)
class _Numbers:
    """Numbers of predictions, in the order in which their answers were recorded."""

    count: int = 0
    _ids: list[Ids] = field(default_factory=list)
    _by_id: dict[bytes, int] = field(default_factory=dict)

    def add(self, stretch: Stretch) -> None:
        answers, rows = stretch.answers, stretch.arrived
        rows = rows[answers.flags[rows] & SHADOW == 0]
        self._ids.append(answers.id[rows])
        self.count += len(rows)

    def of(self, identifier: bytes) -> int | None:
        """Number of a prediction; none of one that was made before the first."""
        if self._ids:
            # Asked for at the end, once all are known.
            whole = np.concatenate(self._ids).tobytes()
            self._by_id = {whole[16 * n : 16 * n + 16]: n for n in range(len(whole) // 16)}
            self._ids = []
        return self._by_id.get(identifier)


def _marks(
    numbers: _Numbers, stretch: Stretch, changes: Sequence[int], known: int, runs: Sequence[Run]
) -> Iterator[Change]:
    """Changes that lie in a stretch; what was granted is noted at its beginning."""
    answers, rows = stretch.answers, stretch.arrived
    rows = rows[answers.flags[rows] & SHADOW == 0]
    first = numbers.count - len(rows)
    for number, row in enumerate(sorted(changes)[known:], known):
        if row < numbers.count:
            for run in runs:
                run.mark(number)
            yield Change(row, from_micros(int(answers.at[rows[row - first]])))


__all__ = [
    "Progress",
    "ReplaySettings",
    "Report",
    "replay_file",
    "replay_file_with",
    "replay_record",
    "replay_record_with",
]
