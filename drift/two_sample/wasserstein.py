"""Wasserstein-1, or earth mover's, distance."""

import numpy as np
from scipy import stats

from drift.base import Values
from drift.errors import InvalidObservationError
from drift.sketches.numeric import NumericSketch
from drift.two_sample.base import Comparison, checked_window
from drift.two_sample.cells import present_counts

FEATURE_UNIT = "feature"
"""The statistic is in the unit of the feature that was measured."""


def wasserstein(reference: Values, current: Values) -> Comparison:
    """How far the values would have to be moved, on average, to turn one window into the other.

    Parameters
    ----------
    reference : shape (n,)
        One feature in the reference window, in the feature's unit.
    current : shape (m,)
        The same feature in the current window, in the same unit.

    Returns
    -------
    Comparison
        Statistic: area between the empirical distributions, in the feature's unit, at least 0; a
        shift of everything by d gives d. No p-value.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` values.
    InvalidObservationError
        If a window holds NaN or an infinity.

    Notes
    -----
    O((n + m) log(n + m)) time. One wild value among n moves it by that value over n: for heavy
    tails it reports the tail and is deaf to the rest.

    References
    ----------
    L. N. Vaserstein, Probl. Inf. Transm. 5(3), 1969, 64-72; S. S. Vallender, Theory Probab. Appl.
    18(4), 1974, 784-786 (the area formula).
    """
    reference = checked_window("reference", reference)
    current = checked_window("current", current)
    distance = float(stats.wasserstein_distance(reference, current))
    return Comparison("wasserstein", distance, FEATURE_UNIT, None, len(reference), len(current))


def wasserstein_counts(reference: NumericSketch, current: NumericSketch) -> Comparison:
    """The same from counts in the reference's bins, among rows that have a value.

    Returns
    -------
    Comparison
        Statistic: area between the distributions if values lie evenly inside each bin; `bounds`
        holds the least and the most that any position inside the bins allows. What is out of range
        lies between the reference's edge and the most extreme value of both windows.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` values.
    InvalidObservationError
        If a window holds an infinity: there is no distance to it.
    InvalidSettingError
        If the windows were not counted in the same bins.
    """
    first, second = present_counts(reference, current)
    lowest = min(reference.lowest, current.lowest)
    highest = max(reference.highest, current.highest)
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InvalidObservationError("window", "finite values", f"[{lowest}, {highest}]")
    edges = np.array(reference.bins.edges)
    edges = np.concatenate([[min(lowest, edges[0])], edges, [max(highest, edges[-1])]])
    widths = np.diff(edges)
    upper_first, upper_second = np.cumsum(first) / first.sum(), np.cumsum(second) / second.sum()
    before_first = np.concatenate([[0.0], upper_first[:-1]])
    before_second = np.concatenate([[0.0], upper_second[:-1]])
    left, right = before_first - before_second, upper_first - upper_second
    least = np.maximum(0.0, np.maximum(before_first - upper_second, before_second - upper_first))
    most = np.maximum(upper_first - before_second, upper_second - before_first)
    middle = float((widths * _mean_of_line(left, right)).sum())
    return Comparison(
        "wasserstein",
        middle,
        FEATURE_UNIT,
        None,
        int(first.sum()),
        int(second.sum()),
        bounds=(float((widths * least).sum()), float((widths * most).sum())),
    )


def _mean_of_line(left: Values, right: Values) -> Values:
    """Mean of the size of a straight line from left to right, which may cross zero."""
    total = np.abs(left) + np.abs(right)
    crossing = np.divide(left**2 + right**2, 2.0 * total, out=np.zeros_like(total), where=total > 0)
    return np.where(left * right < 0.0, crossing, total / 2.0)
