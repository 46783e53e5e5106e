"""Every detector with a guarantee, with values it takes: the laws hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Detector, Values
from drift.canary.paired import PairedExcess, PairedPromotion
from drift.canary.randomised import RandomisedExcess, RandomisedPromotion
from drift.learned.ranks import LearnedScore
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool
from drift.means.sampled import SampledMean
from drift.means.signed import SignedMean, TwoSidedMean
from drift.means.stratified import StratifiedMean
from drift.ranks.categorical import CategoricalRanks
from drift.ranks.numeric import NumericRanks
from drift.ranks.tolerant import TolerantRanks


@dataclass(frozen=True, slots=True)
class Case:
    """A detector, how to build it, and what to feed it."""

    name: str
    build: Callable[[], Detector]
    draw: Callable[[np.random.Generator, int, float], Values]
    """Values of n steps at a rate of harm between 0 and 1."""
    tiers: int = 1
    bounded: bool = True
    """Whether huge but finite values are refused."""
    most_bytes: int = 1_000
    """Of a checkpoint, a tier."""


def errors(rng: np.random.Generator, n: int, rate: float) -> Values:
    """0/1 errors."""
    return (rng.random(n) < rate).astype(np.float64)


def differences(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Differences of two 0/1 errors: the challenger's rate against 0.1."""
    return errors(rng, n, rate) - errors(rng, n, 0.1)


def split_rows(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Loss, whether the challenger answered, and its share."""
    share = rng.uniform(0.1, 0.9, n)
    challenger = (rng.random(n) < share).astype(np.float64)
    losses = np.where(challenger == 1.0, errors(rng, n, rate), errors(rng, n, 0.1))
    return np.column_stack([losses, challenger, share])


def aged_errors(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Error, and the stratum of its label's age."""
    return np.column_stack([errors(rng, n, rate), rng.integers(0, 3, n).astype(np.float64)])


def some_labelled(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Loss, whether labelled, with which probability, and a forecast."""
    probability = rng.uniform(0.05, 1.0, n)
    labelled = (rng.random(n) < probability).astype(np.float64)
    loss = np.where(labelled == 1.0, errors(rng, n, rate), np.nan)
    return np.column_stack([loss, labelled, probability, rng.uniform(0.0, 0.5, n)])


def codes(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Codes of three categories, the last of which has this share."""
    return np.where(rng.random(n) < rate, 2, rng.integers(0, 2, n)).astype(np.float64)


def numbers(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Numbers that rise half-way."""
    return rng.normal(size=n) + 3.0 * rate * (np.arange(n) > n // 2)


def rows_of_two(rng: np.random.Generator, n: int, rate: float) -> Values:
    """Rows of two columns that rise half-way, rounded so that some are equal."""
    first = numbers(rng, n, rate)
    rows: Values = np.column_stack([first, rng.normal(size=n)])
    return np.asarray(np.round(rows, 1), np.float64)


CASES = (
    Case("bounded 0/1", lambda: BoundedMean(0.1), errors),
    Case(
        "bounded, three tiers, other range",
        lambda: BoundedMean(2.0, lower=-1.0, upper=9.0, tiers=3, head_start=[0.0, 0.01, 0.2]),
        lambda rng, n, rate: -1.0 + 10.0 * rng.beta(1.0, 1.0 / rate - 1.0, n),
        tiers=3,
    ),
    Case("rare errors", lambda: BoundedMean(1e-4), errors),
    Case("signed", lambda: SignedMean(0.05, lower=-2.0, upper=1.0), differences),
    Case("two-sided", lambda: TwoSidedMean(-0.05, 0.02, tiers=2), differences, tiers=2),
    Case("sampled", lambda: SampledMean(0.1, floor=0.05), some_labelled),
    Case("stratified", lambda: StratifiedMean([0.1, 0.3, 0.02]), aged_errors),
    Case("growing pool", lambda: GrowingPool(0.1, seed=7), errors),
    Case(
        "numeric ranks",
        lambda: NumericRanks([-1.0, -0.2, 0.0, 0.4, 1.5], seed=3),
        numbers,
        bounded=False,
    ),
    Case(
        "tolerant ranks",
        lambda: TolerantRanks(np.linspace(-2, 2, 40).tolist(), [0.55, 0.55, 0.6, 0.6]),
        numbers,
        bounded=False,
        most_bytes=2_500,
    ),
    Case(
        "categorical ranks",
        lambda: CategoricalRanks([0.5, 0.4, 0.1], seed=5),
        codes,
    ),
    Case(
        "categorical ranks of eighteen codes, three tiers",
        lambda: CategoricalRanks(
            [0.3, 0.2, 0.1, *[0.03] * 13, 0.0, 0.0], tiers=3, head_start=[0.0, 0.01, 0.2], seed=6
        ),
        lambda rng, n, rate: np.floor(18.0 * rng.random(n) ** (1.0 / (1.05 - rate))),
        tiers=3,
    ),
    Case(
        "learned score",
        lambda: LearnedScore(2, seed=11),
        rows_of_two,
        bounded=False,
        most_bytes=1_000,
    ),
    Case("paired excess", lambda: PairedExcess(0.01), differences),
    Case("paired promotion", lambda: PairedPromotion(0.02, 0.05), differences),
    Case("randomised excess", lambda: RandomisedExcess(0.01, floor=0.1), split_rows),
    Case("randomised promotion", lambda: RandomisedPromotion(0.02, floor=0.1), split_rows),
)


def grants_of(rng: np.random.Generator, n: int, tiers: int) -> NDArray[np.float64]:
    """Grants of unequal size, some of them nothing."""
    return rng.uniform(0.0, 2e-3, (n, tiers)) * (rng.random((n, tiers)) < 0.9)
