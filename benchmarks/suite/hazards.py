"""The same detectors where their assumption does not hold: why the remedies are there."""

import numpy as np

from drift.base import Values
from drift.means.bounded import BoundedMean
from drift.streaming.river_adapter import Streaming
from suite.dependence import daily, labelled
from suite.features import heavy_tailed
from suite.feeding import Draw, errors, fed, sessions
from suite.scenario import Count, Scenario

RUN_LENGTH = 1e5
"""A, in rows. ADWIN states no bound of its own and is held against this one."""


def _row_by_row(values: Values) -> Count:
    alarms = fed(BoundedMean(0.1), values, 1.0 / RUN_LENGTH)
    return Count(len(values), len(values) / RUN_LENGTH, alarms)


def bursts(rng: np.random.Generator) -> Count:
    """Rows of sessions taken one by one."""
    return _row_by_row(sessions(rng, 500_000, 0.1)[0])


def arrivals(rng: np.random.Generator) -> Count:
    """Labels in order of arrival, errors first."""
    return _row_by_row(labelled(rng, 540_000)[0])


def cycle(rng: np.random.Generator) -> Count:
    """A daily cycle held against its mean."""
    return _row_by_row(daily(rng, 20 * 24_000)[0])


def plugged_in(size: int, rng: np.random.Generator) -> Count:
    """The mean of a reference sample taken as the truth, 20,000 rows each."""
    streams, rows, alarms = 25, 20_000, 0
    for _ in range(streams):
        limit = float(errors(0.1)(rng, size).mean())
        alarms += fed(BoundedMean(limit), errors(0.1)(rng, rows), 1.0 / RUN_LENGTH)
    return Count(streams * rows, streams * rows / RUN_LENGTH, alarms)


def adwin(draw: Draw, rng: np.random.Generator) -> Count:
    """River's ADWIN with its default settings."""
    rows = 200_000
    alarms = fed(Streaming("adwin"), draw(rng, rows), 0.0)
    return Count(rows, rows / RUN_LENGTH, alarms)


SCENARIOS = (
    Scenario("bursts: single rows", False, "see: means of sessions; A = 1e5", bursts, 10),
    Scenario(
        "delay depends on the label: as labels arrive",
        False,
        "see: age strata; A = 1e5",
        arrivals,
        10,
    ),
    Scenario("daily cycle: limit at its mean", False, "see: limit by hour; A = 1e5", cycle, 10),
    Scenario(
        "mean of 200 rows taken as truth",
        False,
        "see: limit from 5,000 rows, growing pool",
        lambda rng: plugged_in(200, rng),
        10,
    ),
    Scenario(
        "mean of 1,000 rows taken as truth",
        False,
        "see: limit from 5,000 rows, growing pool",
        lambda rng: plugged_in(1_000, rng),
        20,
    ),
    Scenario(
        "mean of 5,000 rows taken as truth",
        False,
        "see: limit from 5,000 rows, growing pool",
        lambda rng: plugged_in(5_000, rng),
        40,
    ),
    Scenario(
        "ADWIN on lognormal values",
        False,
        "no bound stated; held against A = 1e5",
        lambda rng: adwin(heavy_tailed, rng),
        5,
    ),
    Scenario(
        "ADWIN on 0/1 errors",
        False,
        "the same settings; held against A = 1e5",
        lambda rng: adwin(errors(0.1), rng),
        5,
    ),
)
