"""A stream of 0/1 errors at .1 whose rate rises after 5,000 rows."""

import numpy as np
from river import drift as river_drift
from river.drift import binary

from drift.base import Values
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool
from drift.means.reference import upper_limit
from race.contest import (
    Contestant,
    Delay,
    FalseAlarms,
    delays,
    false_alarms,
    first_after,
    guaranteed,
    river,
    seed_of,
    shares,
)

BEFORE = 0.1
AFTER = (0.15, 0.2, 0.3)
CHANGE, REST = 5_000, 5_000
"""Rows before the change, and after it."""

STREAMS, NULL_ROWS = 200, 50_000


def errors(rng: np.random.Generator, rate: float, rows: int) -> Values:
    """Independent errors."""
    return (rng.random(rows) < rate).astype(np.float64)


def _limit_from(rows: int, run_length: float) -> Contestant:
    return Contestant(
        f"e-SR, limit from {rows:,} rows, A = {run_length:.0e}",
        guaranteed(lambda rng: BoundedMean(upper_limit(errors(rng, BEFORE, rows))), run_length),
        allowed=run_length,
    )


def _known(run_length: float) -> Contestant:
    return Contestant(
        f"e-SR, rate known, A = {run_length:.0e}",
        guaranteed(lambda _: BoundedMean(BEFORE), run_length),
        allowed=run_length,
    )


def _pool(run_length: float) -> Contestant:
    return Contestant(
        f"growing pool, rate unknown, A = {run_length:.0e}",
        guaranteed(lambda rng: GrowingPool(BEFORE, seed=seed_of(rng)), run_length),
        allowed=run_length,
    )


CONTESTANTS = (
    _known(1e5),
    _limit_from(5_000, 1e5),
    _limit_from(20_000, 1e5),
    _pool(1e5),
    Contestant("river ADWIN, delta .1 (tuned)", river(river_drift.ADWIN, delta=0.1)),
    Contestant(
        "river PageHinkley, threshold 58 (tuned)",
        river(river_drift.PageHinkley, threshold=58.0),
    ),
    Contestant(
        "river HDDM_A, confidence .01 (tuned)",
        river(binary.HDDMA, drift_confidence=0.01),
        0.3,
    ),
    _known(1e7),
    _pool(1e7),
    Contestant("river ADWIN", river(river_drift.ADWIN)),
    Contestant("river PageHinkley", river(river_drift.PageHinkley)),
    Contestant("river DDM", river(binary.DDM)),
    Contestant("river EDDM", river(binary.EDDM)),
    Contestant("river FHDDM, fed correct answers", river(binary.FHDDM, flip=True)),
    Contestant("river HDDM_A", river(binary.HDDMA), 0.3),
    Contestant("river HDDM_W", river(binary.HDDMW), 0.3),
    Contestant("river KSWIN", river(river_drift.KSWIN, seed=1), 0.02),
)
"""First those tuned to about one false alarm in 100,000 rows, then at most one in ten million, then
river's with its default settings."""


def null(contestant: Contestant, scale: float, rng: np.random.Generator) -> FalseAlarms:
    """Count alarms while the rate stays."""
    # The slowest by far gets short streams.
    rows = NULL_ROWS if contestant.share > 0.05 else NULL_ROWS // 10
    streams = max(round(STREAMS * contestant.share * scale), 2)
    return false_alarms(
        contestant.start, lambda: errors(rng, BEFORE, rows), rng, streams=streams, rows=rows
    )


def found(contestant: Contestant, after: float, scale: float, rng: np.random.Generator) -> Delay:
    """Measure how soon a rise to `after` is found."""
    slow = contestant.share <= 0.05
    before, rest = (500, 1_000) if slow else (CHANGE, REST)
    rates = shares([BEFORE, after], [before, rest])
    streams = max(round(2 * STREAMS * max(contestant.share, 0.05) * scale), 4)
    return delays(
        first_after(
            contestant.start(rng)((rng.random(len(rates)) < rates).astype(np.float64), before),
            before,
        )
        for _ in range(streams)
    )
