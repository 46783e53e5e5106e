"""Hellinger distance."""

import math

import numpy as np

from drift.base import Values
from drift.sketches.numeric import DEFAULT_BINS, NumericBins
from drift.two_sample.base import NO_UNIT, Comparison
from drift.two_sample.cells import Counts, Sketch, paired_cells, sampling_chi_square, shares


def hellinger(reference: Values, current: Values, *, bins: int = DEFAULT_BINS) -> Comparison:
    """Distance of two windows of a numeric feature, over bins of equal reference share.

    Parameters
    ----------
    reference : shape (n,)
        One feature in the reference window, in the feature's unit; NaN is a cell, "missing".
    current : shape (m,)
        The same feature in the current window, in the same unit.
    bins
        Most bins.

    Returns
    -------
    Comparison
        As `hellinger_counts`.
    """
    cells = NumericBins.from_reference(reference, bins=bins)
    return hellinger_counts(cells.sketch(reference), cells.sketch(current))


def hellinger_counts(reference: Sketch, current: Sketch) -> Comparison:
    """The same from counts, also of categories.

    Returns
    -------
    Comparison
        Statistic: root of half the sum of (root p - root q)^2, in [0, 1], no unit: 0 for equal
        shares, 1 if no cell is shared. No p-value. `noise` is about what two windows of this size
        show when nothing changed.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidSettingError
        If the windows were not counted in the same cells.

    Notes
    -----
    Empty cells need no rule, and a new rare category weighs more than in the other distances: it is
    the one to read for UNSEEN. O(cells) time. Deaf to the order of bins.

    References
    ----------
    E. Hellinger, J. reine angew. Math. 136, 1909, 210-271.
    """
    first, second = paired_cells(reference, current)
    # For close shares the squared distance is an eighth of sum (p - q)^2 / p.
    noise = math.sqrt(sampling_chi_square(first, second) / 8.0)
    return Comparison(
        "hellinger",
        distance(first, second),
        NO_UNIT,
        None,
        int(first.sum()),
        int(second.sum()),
        noise=min(1.0, noise),
    )


def distance(first: Counts, second: Counts) -> float:
    """Hellinger distance of two lists of counts."""
    difference = np.sqrt(shares(first)) - np.sqrt(shares(second))
    return math.sqrt(min(1.0, float((difference**2).sum()) / 2.0))
