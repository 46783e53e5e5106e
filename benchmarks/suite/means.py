"""Means with a known limit, a limit from a sample, and no limit at all."""

import numpy as np

from drift.base import Values
from drift.engine import Engine
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool
from drift.means.reference import upper_limit
from drift.means.stakes import mean_stakes
from suite.feeding import errors, fed, long_streams, seed_of
from suite.scenario import Count, Scenario

MERGED = 64
"""Rows of a batch that workers sum in any order."""


def volatile(rng: np.random.Generator, n: int) -> Values:
    """Losses of mean .1 given the past, wild after a bad stretch and calm after a good one."""
    stretches = -(-n // 50)
    wild = (rng.random((stretches, 50)) < 0.1).astype(np.float64)
    calm = 0.2 * (rng.random((stretches, 50)) < 0.5)
    rows = np.empty_like(wild)
    bad = False
    for stretch, sums in enumerate(zip(calm.sum(axis=1), wild.sum(axis=1), strict=True)):
        rows[stretch] = wild[stretch] if bad else calm[stretch]
        bad = bool(sums[bad] > 5.0)
    return rows.reshape(-1)[:n]


def merged(rng: np.random.Generator) -> Count:
    """Batches of a fixed size, from their error counts alone."""
    batches, grant = 15_625, MERGED / 1e5
    stakes = mean_stakes(0.1)
    hit, miss = np.log1p(0.9 * stakes), np.log1p(-0.1 * stakes)
    engine = Engine(
        stakes=len(stakes),
        tiers=1,
        head_start=0.0,
        smallest=1.0 - 0.1 * stakes[-1],
        largest=1.0 + 0.9 * stakes[-1],
    )
    grants = np.array([[grant]])
    alarms = 0
    for count in rng.binomial(MERGED, 0.1, batches).tolist():
        alarms += len(engine.merge(MERGED, count * hit + (MERGED - count) * miss, grants).alarms)
    return Count(batches * MERGED, batches * grant, alarms)


def from_reference(rng: np.random.Generator) -> Count:
    """Each stream has a reference sample of its own, and a limit from it."""
    streams, rows, run_length = 20, 50_000, 1e5
    alarms = 0
    for _ in range(streams):
        detector = BoundedMean(upper_limit(errors(0.1)(rng, 5_000)))
        alarms += fed(detector, errors(0.1)(rng, rows), 1.0 / run_length)
    return Count(streams * rows, streams * rows / run_length, alarms)


SCENARIOS = (
    Scenario(
        "errors at a contract's limit",
        True,
        "0/1 errors at rate .1, limit .1; A = 1e5",
        long_streams(lambda _: BoundedMean(0.1), errors(0.1), run_length=1e5, rows=1_000_000),
        100,
    ),
    Scenario(
        "rare errors",
        True,
        "0/1 errors at rate .01, limit .01; A = 1e5",
        long_streams(lambda _: BoundedMean(0.01), errors(0.01), run_length=1e5, rows=1_000_000),
        100,
    ),
    Scenario(
        "bounded losses",
        True,
        "losses u^4 with u uniform, mean .2, limit .2; A = 1e5",
        long_streams(
            lambda _: BoundedMean(0.2),
            lambda rng, n: np.square(np.square(rng.random(n))),
            run_length=1e5,
            rows=1_000_000,
        ),
        100,
    ),
    Scenario(
        "losses that depend on the past",
        True,
        "mean .1 given the past, wild after bad stretches of 50 rows, limit .1; A = 3e4",
        long_streams(lambda _: BoundedMean(0.1), volatile, run_length=3e4, rows=300_000),
        100,
    ),
    Scenario(
        "batches merged from workers",
        True,
        f"counts of errors in {MERGED} rows at rate .1, limit .1; A = 1e5 rows",
        merged,
        100,
    ),
    Scenario(
        "unknown rate, limit from 5,000 rows",
        True,
        "0/1 errors at rate .1, limit from a new reference every 50,000 rows; A = 1e5",
        from_reference,
        100,
    ),
    Scenario(
        "unknown rate, growing pool",
        True,
        "0/1 errors at rate .1, streams of 200,000 rows from nothing; A = 1e5",
        long_streams(
            lambda rng: GrowingPool(0.1, seed=seed_of(rng)),
            errors(0.1),
            run_length=1e5,
            rows=200_000,
            streams=5,
        ),
        100,
    ),
    Scenario(
        "growing pool, centre far off",
        True,
        "0/1 errors at rate .07, centre .3; A = 3e4",
        long_streams(
            lambda rng: GrowingPool(0.3, seed=seed_of(rng)),
            errors(0.07),
            run_length=3e4,
            rows=300_000,
        ),
        100,
    ),
)
