"""Feed detectors as shipped with null rows and count their alarms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drift.base import Detector, Values
from suite.scenario import Count

Draw = Callable[[np.random.Generator, int], Values]
"""Draws the values of n consecutive null rows."""


def fed(detector: Detector, values: Values, grant: float) -> int:
    """Feed rows that are granted alike; return the alarms."""
    grants = np.full((len(values), 1), grant)
    return len(detector.update(values, grants).alarms)


def long_streams(
    build: Callable[[np.random.Generator], Detector],
    draw: Draw,
    *,
    run_length: float,
    rows: int,
    streams: int = 1,
    head_start: float = 0.0,
) -> Callable[[np.random.Generator], Count]:
    """A batch of streams one after another, each with a new detector.

    Parameters
    ----------
    run_length
        A: each row is granted 1 / A false alarms.
    rows
        Rows a stream.
    """

    def batch(rng: np.random.Generator) -> Count:
        alarms = sum(fed(build(rng), draw(rng, rows), 1.0 / run_length) for _ in range(streams))
        return Count(streams * rows, streams * (head_start + rows / run_length), alarms)

    return batch


def errors(rate: float) -> Draw:
    """0/1 errors, independent."""
    return lambda rng, n: (rng.random(n) < rate).astype(np.float64)


def seed_of(rng: np.random.Generator) -> int:
    """Draw a seed for a detector that draws numbers of its own."""
    return int(rng.integers(2**62))


def sessions(
    rng: np.random.Generator, n: int, correlation: float
) -> tuple[Values, NDArray[np.int64]]:
    """Errors at .1 in sessions of 10 rows on average.

    Returns
    -------
    values : shape (m,)
        Whole sessions, m about n.
    lengths : shape (sessions,)
        Rows of each.
    """
    lengths = rng.geometric(0.1, size=max(n // 10, 1))
    scale = 1.0 / correlation - 1.0
    rates = rng.beta(0.1 * scale, 0.9 * scale, size=len(lengths))
    total = int(lengths.sum())
    return (rng.random(total) < np.repeat(rates, lengths)).astype(np.float64), lengths
