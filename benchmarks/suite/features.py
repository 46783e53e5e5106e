"""Features whose distribution nobody knows."""

import numpy as np

from drift.base import Values
from drift.learned.ranks import LearnedScore
from drift.ranks.categorical import CategoricalRanks
from drift.ranks.numeric import NumericRanks, edges_from
from suite.feeding import long_streams, seed_of
from suite.scenario import Scenario

SHARES = (0.5, 0.3, 0.15, 0.04, 0.01)


def heavy_tailed(rng: np.random.Generator, n: int) -> Values:
    """Values that now and then are a hundred times the usual one."""
    return rng.lognormal(0.0, 1.0, n)


def rounded(rng: np.random.Generator, n: int) -> Values:
    """Few different values, one of them nearly half of all."""
    return np.floor(rng.lognormal(0.0, 1.0, n))


def categories(rng: np.random.Generator, n: int) -> Values:
    """Codes of five categories."""
    return np.searchsorted(np.cumsum(SHARES)[:-1], rng.random(n)).astype(np.float64)


def heavy_rows(rng: np.random.Generator, n: int) -> Values:
    """Rows of five columns: heavy tails, ties, a flag, and two that depend on each other."""
    rows = rng.standard_t(3.0, (n, 5))
    rows[:, 1] = np.round(rows[:, 1])
    rows[:, 2] = rows[:, 2] > 1.0
    rows[:, 4] += rows[:, 3]
    return rows


SCENARIOS = (
    Scenario(
        "heavy-tailed feature",
        True,
        "lognormal values, bins from 1,000 others, streams of 100,000; A = 3e4",
        long_streams(
            lambda rng: NumericRanks(edges_from(heavy_tailed(rng, 1_000)), seed=seed_of(rng)),
            heavy_tailed,
            run_length=3e4,
            rows=100_000,
            streams=3,
        ),
        100,
    ),
    Scenario(
        "feature with ties",
        True,
        "whole numbers, bins from 1,000 others, streams of 100,000; A = 1e4",
        long_streams(
            lambda rng: NumericRanks(edges_from(rounded(rng, 1_000)), seed=seed_of(rng)),
            rounded,
            run_length=1e4,
            rows=100_000,
        ),
        100,
    ),
    Scenario(
        "categories",
        True,
        "five categories and a wrong guess of their shares, streams of 100,000; A = 1e4",
        long_streams(
            lambda rng: CategoricalRanks([0.4, 0.3, 0.2, 0.05, 0.05], seed=seed_of(rng)),
            categories,
            run_length=1e4,
            rows=100_000,
        ),
        100,
    ),
    Scenario(
        "learned score of five columns",
        True,
        "heavy tails, ties, a flag and a dependent pair, streams of 20,000 from nothing; A = 2e3",
        long_streams(
            lambda rng: LearnedScore(5, seed=seed_of(rng)), heavy_rows, run_length=2e3, rows=20_000
        ),
        101,
    ),
)
