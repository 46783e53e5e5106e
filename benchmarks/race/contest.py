"""What is measured of a contestant, and how."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.base import BinaryDriftDetector, DriftDetector

from drift.base import Detector, Values

Watching = Callable[[Values, int], Sequence[int]]
"""Given a stream and a row, the rows that alarm, with a restart after each. Those after the first
alarm at or past the given row may be left out."""

Start = Callable[[np.random.Generator], Watching]
"""Sets up a fresh contestant: with a reference sample of its own where it needs one."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A detector with its settings."""

    name: str
    start: Start
    share: float = 1.0
    """Share of the streams to run; below 1 for those that are slow."""
    allowed: float | None = None
    """Rows to a false alarm that it promises, where it is one of this project's."""

    @property
    def ours(self) -> bool:
        """Whether it is one of this project's."""
        return self.allowed is not None


@dataclass(frozen=True, slots=True)
class Delay:
    """How soon a change was found."""

    median: float
    """In rows after the change; infinite if most streams missed it."""
    mean: float
    """Of the streams that found it; NaN if none did."""
    missed: float
    """Share of the streams that found nothing."""
    streams: int


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What happened without a change."""

    per_50k: float
    """Alarms in 50,000 rows."""
    any_in_50k: float
    """Share of streams with any alarm in their first 50,000 rows; NaN for shorter streams."""
    alarms: int
    rows: int
    microseconds: float
    """CPU time a row."""


def delays(found: Iterable[float]) -> Delay:
    """Summarise delays; infinite for a miss."""
    rows = np.array(list(found))
    hits = rows[np.isfinite(rows)]
    return Delay(
        median=float(np.sort(rows)[(len(rows) - 1) // 2]),
        mean=float(hits.mean()) if len(hits) else float("nan"),
        missed=1.0 - len(hits) / len(rows),
        streams=len(rows),
    )


def first_after(alarms: Sequence[int], change: int) -> float:
    """Rows from the change to the first alarm after it, counting the row that alarms."""
    return next((float(row + 1 - change) for row in alarms if row >= change), np.inf)


def false_alarms(
    start: Start, draw: Callable[[], Values], rng: np.random.Generator, *, streams: int, rows: int
) -> FalseAlarms:
    """Run null streams of `rows` rows."""
    alarms = hit = 0
    spent = 0.0
    for _ in range(streams):
        watching, values = start(rng), draw()
        began = time.process_time()
        found = watching(values, rows)
        spent += time.process_time() - began
        alarms += len(found)
        hit += any(row < 50_000 for row in found)
    total = streams * rows
    return FalseAlarms(
        per_50k=alarms * 50_000 / total,
        any_in_50k=hit / streams if rows >= 50_000 else float("nan"),
        alarms=alarms,
        rows=total,
        microseconds=spent / total * 1e6,
    )


def guaranteed(build: Callable[[np.random.Generator], Detector], run_length: float) -> Start:
    """One of our detectors, granted one false alarm in `run_length` rows."""

    def start(rng: np.random.Generator) -> Watching:
        detector = build(rng)

        def watching(values: Values, _: int) -> list[int]:
            grants = np.full((len(values), 1), 1.0 / run_length)
            return [alarm.step for alarm in detector.update(values, grants).alarms]

        return watching

    return start


def river(
    build: Callable[..., DriftDetector | BinaryDriftDetector],
    *,
    flip: bool = False,
    **settings: object,
) -> Start:
    """One of river's detectors; `flip` feeds correct answers instead of errors."""

    def start(_: np.random.Generator) -> Watching:
        # One interface for both kinds: those for errors take a bool.
        detector: Any = build(**settings)

        def watching(values: Values, stop_after: int) -> list[int]:
            fed: list[float] | list[bool] = values.tolist()
            if isinstance(detector, BinaryDriftDetector):
                fed = [(value == 1.0) != flip for value in fed]
            found: list[int] = []
            for row, value in enumerate(fed):
                detector.update(value)
                if detector.drift_detected:
                    found.append(row)
                    if row >= stop_after:
                        break
            return found

        return watching

    return start


def seed_of(rng: np.random.Generator) -> int:
    """Draw a seed for a detector that draws numbers of its own."""
    return int(rng.integers(2**31))


def shares(rates: Sequence[float], rows: Sequence[int]) -> NDArray[np.float64]:
    """Rate of each row: the first of `rates` for the first of `rows`, and so on."""
    return np.repeat(np.asarray(rates), rows)
