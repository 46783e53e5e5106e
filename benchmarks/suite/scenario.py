"""A scenario, the false alarms it counts, and what the counts say about the promise."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

SEED = 20261123
"""Seed of the suite; a batch's generator comes from it, the scenario's name and its number."""

CONFIDENCE = 0.95
"""Of the two-sided interval of a rate."""

MOST = 1.05
"""Realised over allowed false alarms that a promise may show: 1, and what a short run adds."""


@dataclass(frozen=True, slots=True)
class Count:
    """What one batch of null rows gave."""

    rows: int
    """Null rows consumed."""
    allowed: float
    """False alarms that the head starts and grants allow, in expected numbers."""
    alarms: int
    """False alarms there were."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Null streams of one kind; batches are independent of each other."""

    name: str
    """Unique: results are kept by it."""
    holds: bool
    """Whether the detector's assumption holds here, so that the promise is put to the test. Where
    it does not hold, the scenario shows what that costs."""
    story: str
    """One sentence: the streams, the detector, the run length A."""
    batch: Callable[[np.random.Generator], Count]
    """Runs one batch."""
    batches: int
    """Batches of the full suite."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All batches of a scenario together."""

    rows: int
    allowed: float
    alarms: int
    dispersion: float
    """Variance of the batches' alarms over their mean; 1 for a Poisson count, more where the alarms
    of a batch come together."""
    ratio: float
    """Alarms over allowed."""
    lower: float
    """Lower end of the interval of the ratio."""
    upper: float
    """Upper end."""

    @property
    def broken(self) -> bool:
        """Whether the realised rate is above 1.05 of the allowed one, and not by chance."""
        return self.ratio > MOST and self.lower > 1.0


def generator(name: str, batch: int) -> np.random.Generator:
    """Return the generator of one batch: the same on every machine, whatever else was run."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode()), batch])


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact (Garwood) interval of a Poisson expectation."""
    half = (1.0 - confidence) / 2.0
    lower = float(stats.gamma.ppf(half, count)) if count else 0.0
    return lower, float(stats.gamma.isf(half, count + 1))


def verdict(counts: Sequence[Count]) -> Verdict:
    """Add up batches.

    The interval is the exact Poisson one. Where the batches vary significantly more than Poisson
    counts would, streams move together, and it is widened by the root of their dispersion.
    """
    alarms = sum(count.alarms for count in counts)
    allowed = sum(count.allowed for count in counts)
    each = np.array([count.alarms for count in counts], dtype=np.float64)
    dispersion = float(each.var(ddof=1) / each.mean()) if len(each) > 1 and alarms else 1.0
    lower, upper = poisson_interval(alarms)
    if len(each) > 1 and dispersion > stats.chi2.isf(0.01, len(each) - 1) / (len(each) - 1):
        lower = alarms - (alarms - lower) * dispersion**0.5
        upper = alarms + (upper - alarms) * dispersion**0.5
    return Verdict(
        rows=sum(count.rows for count in counts),
        allowed=allowed,
        alarms=alarms,
        dispersion=dispersion,
        ratio=alarms / allowed,
        lower=max(lower, 0.0) / allowed,
        upper=upper / allowed,
    )
