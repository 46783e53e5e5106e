"""Kolmogorov-Smirnov: the largest gap between two empirical distributions."""

import math

import numpy as np
from scipy import stats

from drift.base import Values, checked_count, checked_number
from drift.sketches.numeric import NumericSketch
from drift.two_sample.base import NO_UNIT, Comparison, checked_window
from drift.two_sample.cells import present_counts

_LIMIT_SIZE = 10_000
"""Size from which Kolmogorov's limit serves: within 2 % of the p-values that matter."""


def ks_test(reference: Values, current: Values) -> Comparison:
    """Test H0: both windows are drawn from the same continuous distribution.

    Parameters
    ----------
    reference : shape (n,)
        One feature in the reference window, in the feature's unit.
    current : shape (m,)
        The same feature in the current window, in the same unit.

    Returns
    -------
    Comparison
        Statistic: largest gap between the empirical distributions, in [0, 1], no unit.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` values.
    InvalidObservationError
        If a window holds NaN or an infinity.

    Notes
    -----
    Valid for one look; ties make it conservative. The p-value is that of one sample of
    n m / (n + m) against a known distribution, slightly too large for short windows.
    O((n + m) log(n + m)) time. Deaf to differences in the tails, and half deaf to a change of
    spread: two normal windows of 500 with a standard deviation of 1 and 1.2 are told apart in about
    one look of three at 5 %.

    References
    ----------
    N. Smirnov, Ann. Math. Statist. 19(2), 1948, 279-281.
    """
    reference = checked_window("reference", reference)
    current = checked_window("current", current)
    n, m = len(reference), len(current)
    ordered, other = np.sort(reference), np.sort(current)
    everywhere = np.concatenate([ordered, other])
    below = np.searchsorted(ordered, everywhere, side="right") / n
    gap = float(np.abs(below - np.searchsorted(other, everywhere, side="right") / m).max())
    return Comparison("kolmogorov-smirnov", gap, NO_UNIT, _upper_tail(gap, n * m / (n + m)), n, m)


def ks_test_counts(reference: NumericSketch, current: NumericSketch) -> Comparison:
    """The same test from counts in the reference's bins, among rows that have a value.

    Returns
    -------
    Comparison
        Statistic: largest gap at a bin's edge, which is never more than the gap of the raw values;
        `bounds` holds both that and the most the gap inside a bin can be. With 64 bins of equal
        reference share they lie about 1/64 apart.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` values.
    InvalidSettingError
        If the windows were not counted in the same bins.

    Notes
    -----
    Valid for one look, and conservative: it sees at most the raw gap and compares it with the null
    distribution of the raw gap. O(bins) time. Deaf to what happens inside a bin.
    """
    first, second = present_counts(reference, current)
    n, m = int(first.sum()), int(second.sum())
    lower, upper = np.cumsum(first) / n, np.cumsum(second) / m
    gap = float(np.abs(lower - upper).max())
    # Inside a bin either distribution may do all its rise before the other begins.
    before_first, before_second = lower - first / n, upper - second / m
    inside = np.maximum(upper - before_first, lower - before_second)
    return Comparison(
        "kolmogorov-smirnov",
        gap,
        NO_UNIT,
        _upper_tail(gap, n * m / (n + m)),
        n,
        m,
        bounds=(gap, min(1.0, max(gap, float(inside.max())))),
    )


def _upper_tail(gap: float, size: float) -> float:
    """Chance of at least this gap between a distribution and `size` values from it."""
    if size > _LIMIT_SIZE:
        # The limit is reached from below, so it errs to the safe side; the finite form would take
        # longer than the counting of the windows.
        return float(stats.kstwobign.sf(gap * math.sqrt(size)))
    return float(stats.kstwo.sf(gap, max(1, round(size))))


def ks_critical_value(alpha: float, size: int) -> float:
    """Gap that `size` independent values exceed with probability alpha from their own distribution.

    Exact for one continuous sample against a known distribution; for two samples of n and m take
    a size of n m / (n + m).

    References
    ----------
    R. Simard, P. L'Ecuyer, J. Stat. Software 39(11), 2011.
    """
    alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
    return float(stats.kstwo.isf(alpha, checked_count("size", size, least=1)))


def dkw_half_width(alpha: float, size: int) -> float:
    """Half-width of a band that holds the whole true distribution with probability 1 - alpha.

    References
    ----------
    A. Dvoretzky, J. Kiefer, J. Wolfowitz, Ann. Math. Statist. 27(3), 1956; constant by P. Massart,
    Ann. Probab. 18(3), 1990.
    """
    alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
    return math.sqrt(math.log(2.0 / alpha) / (2.0 * checked_count("size", size, least=1)))
