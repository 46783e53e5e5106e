"""Rows that depend on each other or on when they arrive, with what the product does about it."""

import numpy as np
from numpy.typing import NDArray

from drift.base import Detector, Values
from drift.means.blocks import Blocks
from drift.means.bounded import BoundedMean
from drift.means.stratified import StratifiedMean, age_edges, strata_of, stratum_limits
from drift.means.units import Units
from drift.means.watermark import Watermark
from suite.feeding import fed, sessions
from suite.scenario import Count, Scenario

RUN_LENGTH = 1e5
"""A, in rows, whatever the unit."""

GAP = 400
"""Rows after which a session is over: twenty times the mean gap in it."""

STRATA = 20
"""Ages of labels are divided into this many strata."""

DAY = 24_000
"""Rows of a day."""


def session_means(rng: np.random.Generator) -> Count:
    """Means of sessions, each granted what its rows are granted."""
    values, lengths = sessions(rng, 1_000_000, 0.1)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    means = np.add.reduceat(values, starts) / lengths
    grants = (lengths / RUN_LENGTH)[:, None]
    alarms = len(BoundedMean(0.1, averaged=True).update(means, grants).alarms)
    return Count(len(values), float(grants.sum()), alarms)


def session_keys(rng: np.random.Generator) -> Count:
    """Sessions that run beside each other, told apart by their keys."""
    values, lengths = sessions(rng, 100_000, 0.1)
    session = np.repeat(np.arange(len(lengths)), lengths)
    # About twenty sessions are open at a time, so their rows lie about twenty rows apart.
    gaps = rng.exponential(20.0, len(values))
    since = np.cumsum(gaps)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    begins = np.repeat(np.cumsum(rng.exponential(10.0, len(lengths))), lengths)
    order = np.argsort(begins + since - np.repeat(since[first], lengths))
    finished = Units(GAP).push(values[order], [str(key) for key in session[order]])
    run_length = RUN_LENGTH / 10.0
    grants = (finished.rows / run_length)[:, None]
    alarms = len(BoundedMean(0.1, averaged=True).update(finished.means, grants).alarms)
    return Count(int(finished.rows.sum()), float(grants.sum()), alarms)


def block_means(rng: np.random.Generator) -> Count:
    """Blocks of ten times the mean session."""
    values, _ = sessions(rng, 1_000_000, 0.1)
    means, _ = Blocks(100).push(values)
    alarms = fed(BoundedMean(0.1, averaged=True), means, 100 / RUN_LENGTH)
    return Count(100 * len(means), 100 * len(means) / RUN_LENGTH, alarms)


def labelled(rng: np.random.Generator, n: int) -> tuple[Values, Values]:
    """Errors at .1 and ages of their labels, in order of arrival.

    Wrong answers are reported after 300 ticks on average, right ones after 3,000; one stretch of
    traffic in five is three times as dense.
    """
    dense = np.repeat(rng.random(-(-n // 5_000)) < 0.2, 5_000)[:n]
    predicted = np.cumsum(rng.exponential(1.0, n) / np.where(dense, 3.0, 1.0))
    wrong = (rng.random(n) < 0.1).astype(np.float64)
    ages = rng.exponential(1.0, n) * np.where(wrong == 1.0, 300.0, 3_000.0)
    order = np.argsort(predicted + ages)
    # The first labels come only from young answers; a stream that has begun has all ages.
    order = order[20_000:-20_000]
    return wrong[order], ages[order]


def age_strata(rng: np.random.Generator) -> Count:
    """Each label is held against the reference labels of its age."""
    wrong, ages = labelled(rng, 140_000)
    edges = age_edges(ages, STRATA)
    limits = stratum_limits(wrong, strata_of(ages, edges))
    wrong, ages = labelled(rng, 1_040_000)
    rows = np.column_stack([wrong, strata_of(ages, edges)])
    alarms = fed(StratifiedMean(limits), rows, 1.0 / RUN_LENGTH)
    return Count(len(rows), len(rows) / RUN_LENGTH, alarms)


AGE = 30_000.0
"""Ticks after which a prediction is taken with its label: ten mean delays of the slower kind."""


def watermark(rng: np.random.Generator) -> Count:
    """The same labels in the order of their predictions, looked at every now and then."""
    n, run_length = 300_000, 3e4
    dense = np.repeat(rng.random(-(-n // 5_000)) < 0.2, 5_000)[:n]
    predicted = np.cumsum(rng.exponential(1.0, n) / np.where(dense, 3.0, 1.0))
    wrong = (rng.random(n) < 0.1).astype(np.float64)
    arrived = predicted + rng.exponential(1.0, n) * np.where(wrong == 1.0, 300.0, 3_000.0)
    by_arrival, held, detector = np.argsort(arrived), Watermark(AGE), BoundedMean(0.1)
    made = came = rows = alarms = 0
    for now in np.arange(2_000.0, predicted[-1] + 2.0 * AGE, 2_000.0):
        until = int(np.searchsorted(predicted, now))
        held.predict(np.arange(made, until), predicted[made:until])
        arriving = int(np.searchsorted(arrived[by_arrival], now))
        keys = by_arrival[came:arriving]
        held.label(keys, wrong[keys])
        made, came = until, arriving
        released = held.release(float(now))
        losses = released.losses[released.labelled]
        if len(losses):
            alarms += fed(detector, losses, 1.0 / run_length)
            rows += len(losses)
    return Count(rows, rows / run_length, alarms)


def daily(rng: np.random.Generator, n: int) -> tuple[Values, NDArray[np.int64]]:
    """Errors at .10 +- .02 in a daily cycle, and the hour of each."""
    rows = np.arange(n)
    rates = 0.1 + 0.02 * np.sin(2.0 * np.pi * rows / DAY)
    return (rng.random(n) < rates).astype(np.float64), rows % DAY * 24 // DAY


def hour_strata(rng: np.random.Generator) -> Count:
    """Each row is held against the reference of its hour: a week of it."""
    limits = stratum_limits(*daily(rng, 7 * DAY))
    values, hours = daily(rng, 1_000_000)
    detector: Detector = StratifiedMean(limits)
    alarms = fed(detector, np.column_stack([values, hours]), 1.0 / RUN_LENGTH)
    return Count(len(values), len(values) / RUN_LENGTH, alarms)


def tolerant(rng: np.random.Generator) -> Count:
    """The limit is the highest rate of the day."""
    values, _ = daily(rng, 1_000_000)
    alarms = fed(BoundedMean(0.12), values, 1.0 / RUN_LENGTH)
    return Count(len(values), len(values) / RUN_LENGTH, alarms)


SCENARIOS = (
    Scenario(
        "bursts: means of sessions",
        True,
        "sessions of 10 rows, correlated by .1 within, at mean .1, limit .1; A = 1e5 rows",
        session_means,
        105,
    ),
    Scenario(
        "bursts: sessions by key",
        True,
        "the same, twenty sessions open at a time, told apart by key; A = 1e4 rows",
        session_keys,
        105,
    ),
    Scenario(
        "bursts: blocks of 100",
        True,
        "the same in blocks; neighbours share a session at their border; A = 1e5 rows",
        block_means,
        105,
    ),
    Scenario(
        "delay depends on the label: age strata",
        True,
        "errors labelled after 300, others after 3,000 ticks, bursts of traffic, "
        "20 strata, limits from 100,000 labels; A = 1e5",
        age_strata,
        101,
    ),
    Scenario(
        "delay depends on the label: watermark",
        True,
        "the same labels, taken with their predictions 30,000 ticks later; A = 3e4",
        watermark,
        101,
    ),
    Scenario(
        "daily cycle: limit by hour",
        True,
        "rate .10 +- .02 over a day, limits of the hours from a week; A = 1e5",
        hour_strata,
        101,
    ),
    Scenario(
        "daily cycle: tolerance",
        True,
        "rate .10 +- .02 over a day, limit .12; A = 1e5",
        tolerant,
        101,
    ),
)
