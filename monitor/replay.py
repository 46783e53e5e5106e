"""The same tests over past rows: what would have happened. Nothing is written, nobody is told."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from monitor import budget
from monitor.columns import id_at
from monitor.detector_state import Subject
from monitor.evaluation import References, run_watch
from monitor.feed import join
from monitor.memory import Memory
from monitor.moments import to_micros
from monitor.records import START, Alarm, Json, Watch
from monitor.replay_file import read_file
from monitor.settings import Mode, Settings, Tier
from monitor.signals import LOSS, Extracted, Observations, extract
from monitor.store import record
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.store.database import connect
from monitor.watches import DEFAULT_WATCHES, WatchForm, WatchSettings
from monitor.watching import learn_references, references_of

Progress = Callable[[int, int], None]
"""Told the rows done and the rows there are."""


class WatchFile(BaseModel):
    """One watch in a file of watches."""

    model_config = ConfigDict(extra="forbid")

    name: str
    signal: Literal["loss"] = "loss"
    detector: Literal["bounded-mean", "growing-pool", "adwin"] = "bounded-mean"
    tier: Tier = Tier.PAGE
    settings: WatchSettings = WatchSettings()
    remedy: str = "notify"


class ReplaySettings(BaseModel):
    """A file of watches, in JSON."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: Literal["binary", "multiclass", "regression"] | None = None
    """Told from the rows when absent: numbers with many values are a regression."""
    reference_rows: Annotated[int, Field(ge=0)] = 2000
    """First labelled rows of each version, which are its reference and are not tested."""
    budgets: dict[Tier, Annotated[float, Field(gt=0)]] = {}
    """False alarms a year for a tier; the monitor's own settings when absent."""
    watches: list[WatchFile] | None = None
    """The default watches of the loss when absent."""


@dataclass(slots=True)
class Report:
    """What a replay found."""

    rows: int = 0
    seconds: float = 0.0
    watches: list[Json] = field(default_factory=list)
    expected_false_alarms: float = 0.0
    """At most so many were to be expected of the watches with a guarantee, had nothing changed."""
    alarms: list[Json] = field(default_factory=list)

    def to_json(self) -> Json:
        """As `leadsman replay --json` prints it."""
        return {
            "rows": self.rows,
            "seconds": self.seconds,
            "watches": self.watches,
            "expected_false_alarms": self.expected_false_alarms,
            "alarms": self.alarms,
        }


@dataclass(slots=True)
class _Run:
    """Watches at work on a stretch of the past."""

    watches: list[Watch]
    yearly: Mapping[int, float]
    task: str
    references: References
    row_of: Callable[[UUID], int]
    name_of: Callable[[str], str]
    time_scale: float = 1.0
    subjects: dict[int, dict[str, Subject]] = field(default_factory=dict)
    alarms: list[Json] = field(default_factory=list)

    def feed(self, signal: str, observations: Observations) -> None:
        found: list[tuple[Watch, Alarm]] = []
        for i, watch in enumerate(self.watches):
            if watch.signal != signal or not watch.enabled:
                continue
            tested = run_watch(
                watch,
                observations,
                self.subjects.setdefault(watch.id, {}),
                self.references,
                task=self.task,
                budget_per_year=self.yearly.get(watch.id, 0.0),
                time_scale=self.time_scale,
            )
            self.watches[i] = replace(watch, clock=tested.clock)
            found.extend((watch, alarm) for alarm in tested.alarms)
        found.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
        self.alarms.extend(self._told(watch, alarm) for watch, alarm in found)

    def _told(self, watch: Watch, alarm: Alarm) -> Json:
        onset = alarm.onset_prediction_id
        return {
            "row": self.row_of(alarm.prediction_id),
            "signal": alarm.evidence["signal"],
            "watch": watch.name,
            "tier": watch.tier.value,
            "version": self.name_of(alarm.subject),
            "segment": alarm.evidence["segment"],
            "onset_row": None if onset is None else self.row_of(onset),
            "statistic": alarm.statistic,
            "threshold": alarm.threshold,
            "at": alarm.alarmed_at.isoformat(),
            "observation": alarm.observation,
            "before": alarm.evidence["before"],
            "after": alarm.evidence["after"],
            "promise": alarm.evidence["promise"],
        }

    def report(self, rows: int, seconds: float) -> Report:
        lines: list[Json] = []
        expected = 0.0
        for watch in self.watches:
            for subject in self.subjects.get(watch.id, {}).values():
                if watch.detector not in budget.OWN_ERROR_RATE:
                    expected += subject.granted
                lines.append(
                    {
                        "name": watch.name,
                        "signal": watch.signal,
                        "detector": watch.detector,
                        "tier": watch.tier.value,
                        "version": self.name_of(subject.subject),
                        "status": subject.status,
                        "status_reason": subject.reason,
                        "budget_per_year": self.yearly.get(watch.id),
                        "granted": subject.granted,
                        "observations": subject.observations,
                        "alarms": subject.alarms,
                        "statistic": subject.statistic,
                        "parameters": subject.parameters,
                        "mean": subject.sums.interval(
                            rows_per_step=subject.block, scale=subject.scale
                        ),
                    }
                )
        return Report(rows, seconds, lines, expected, self.alarms)


def replay_file(
    path: Path,
    *,
    watches: ReplaySettings | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run the watches of the loss over the rows of a CSV or Parquet file.

    Parameters
    ----------
    path
        Columns as `monitor.replay_file` reads them.
    watches
        The default watches of the loss when absent.
    settings
        Budgets; the defaults when absent.

    Raises
    ------
    InvalidRowsError
        If the file cannot be read as rows.
    """
    given = watches or ReplaySettings()
    started = time.perf_counter()
    rows = read_file(path, task=given.task, reference_rows=given.reference_rows)
    made = _watches_of(given)
    run = _Run(
        made,
        _yearly(made, given, settings),
        rows.task,
        lambda _, subject: rows.reference(subject),
        lambda identifier: identifier.int,
        rows.version_of,
    )
    done = 0
    for chunk in rows.observations():
        run.feed(LOSS, chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, rows.tested)
    return run.report(rows.rows, time.perf_counter() - started)


def _watches_of(given: ReplaySettings) -> list[Watch]:
    forms = (
        [f for f in DEFAULT_WATCHES if f.signal == LOSS]
        if given.watches is None
        else [
            WatchForm(
                w.name,
                w.signal,
                w.detector,
                w.tier,
                w.remedy,
                w.settings.model_dump(exclude_unset=True),
            )
            for w in given.watches
        ]
    )
    return [
        Watch(
            number,
            1,
            f.name,
            f.signal,
            f.detector,
            f.tier,
            f.settings,
            f.remedy,
            Mode.OBSERVE,
            "replay",
            True,
        )
        for number, f in enumerate(forms, 1)
    ]


def _yearly(
    watches: Iterable[Watch], given: ReplaySettings, settings: Settings | None
) -> dict[int, float]:
    base = settings or Settings(database_url="")
    changed = {f"budget_{tier.value}": value for tier, value in given.budgets.items()}
    return budget.budgets(watches, base.model_copy(update=changed))


async def replay_record(
    settings: Settings,
    application: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    watches: ReplaySettings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run an application's watches over its record, from nothing.

    Parameters
    ----------
    start, end
        Labels received in [start, end) are consumed.
    watches
        The application's own watches when absent.

    Raises
    ------
    InvalidRowsError
        If there is no such application.
    """
    from monitor.errors import NotFoundError

    started = time.perf_counter()
    engine = connect(settings.database_url)
    try:
        async with engine.connect() as connection:
            registry = await registry_store.read_registry(connection)
            found = next((a for a in registry.applications.values() if a.name == application), None)
            if found is None:
                raise NotFoundError("application", application)
            made = (
                _watches_of(watches)
                if watches is not None
                else [
                    replace(w, clock=None)
                    for w in await watch_store.read_watches(connection, found.id)
                ]
            )
            memory = Memory()
            numbers: dict[UUID, int] = {}
            run = _Run(
                made,
                _yearly(made, watches or ReplaySettings(), settings),
                found.task,
                references_of(None, memory.known),
                lambda identifier: numbers[identifier],
                registry.subject_name,
                settings.time_scale,
            )
            after, total = START, 0
            while shipments := await record.read_shipments(
                connection, after, rows=settings.turn_rows
            ):
                until = shipments[-1].position
                stretch = join(
                    *await record.read_rows(connection, shipments, [found.id]),
                    after=after,
                    until=until,
                )
                await learn_references(connection, memory, stretch, registry)
                profiles = {version: known.profile for version, known in memory.known.items()}
                for signal, seen in _between(extract(stretch, registry, profiles), start, end):
                    for row in range(len(seen)):
                        numbers.setdefault(id_at(seen.prediction, row), len(numbers))
                    run.feed(signal, seen)
                total += sum(s.predictions for s in shipments)
                if progress is not None:
                    progress(total, total)
                after = until
            return run.report(len(numbers), time.perf_counter() - started)
    finally:
        await engine.dispose()


def _between(
    extracted: Extracted, start: datetime | None, end: datetime | None
) -> Iterator[tuple[str, Observations]]:
    """Observations of [start, end), by signal."""
    low = NEVER if start is None else to_micros(start)
    high = ALWAYS if end is None else to_micros(end)
    for (_, signal), observations in extracted.items():
        seen = observations.take((observations.at >= low) & (observations.at < high))
        if len(seen):
            yield signal, seen


NEVER, ALWAYS = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""Before and after every moment."""

__all__ = ["Progress", "ReplaySettings", "Report", "replay_file", "replay_record"]
