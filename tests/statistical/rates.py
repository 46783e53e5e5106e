"""Repetition: many independent streams, and how many of them chance allows to alarm."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drift.base import Detector, Values
from drift.streams import Streams

CHANCE = 1e-6
"""Probability that a test here fails although all is as promised."""

SIGMAS = float(stats.norm.isf(CHANCE))
"""The same for a mean of many runs, in standard errors."""


def alarmed(
    build: Callable[[int], Detector],
    draw: Callable[[np.random.Generator, int], Values],
    *,
    streams: int,
    rows: int,
    grant: float,
    seed: int,
) -> int:
    """Count the streams, of `streams` independent ones, that alarm at all within `rows` steps."""
    rng = np.random.default_rng(seed)
    grants = np.full((rows, 1), grant)
    return sum(
        bool(build(stream).update(draw(rng, rows), grants[:rows]).alarms)
        for stream in range(streams)
    )


def most_alarmed(streams: int, allowed: float) -> int:
    """Return how many of independent streams may alarm, each with at most this probability."""
    return int(stats.binom.isf(CHANCE, streams, allowed))


def delays(
    stakes: NDArray[np.float64],
    limit: float,
    draw: Callable[[], NDArray[np.float64]],
    *,
    grant: float,
    head_start: float = 0.0,
    streams: int = 2_000,
    most: int = 40_000,
) -> NDArray[np.float64]:
    """Rows until the first alarm of each of many streams that are bad from their first row."""
    many = Streams(streams, stakes=len(stakes), head_start=head_start)
    slope, base = stakes[:, None], 1.0 - stakes[:, None] * limit
    delay = np.zeros(streams)
    grants = np.array([grant])
    for row in range(1, most + 1):
        _, alarms = many.step(base + slope * draw(), grants)
        delay[alarms[0] & (delay == 0.0)] = row
        if delay.all():
            return delay
    raise AssertionError(f"{int((delay == 0.0).sum())} streams found nothing in {most} rows")


def first_alarms(
    build: Callable[[int], Detector],
    draw: Callable[[np.random.Generator], Values],
    *,
    streams: int,
    grant: float,
    after: int,
    seed: int,
) -> Iterator[float]:
    """Rows from a change at row `after` to the first alarm; infinite where there is none.

    Streams that alarmed before the change are left out, as is usual for a delay.
    """
    rng = np.random.default_rng(seed)
    for stream in range(streams):
        values = draw(rng)
        update = build(stream).update(values, np.full((len(values), 1), grant))
        steps = [alarm.step for alarm in update.alarms]
        if not any(step < after for step in steps):
            yield steps[0] + 1 - after if steps else np.inf
