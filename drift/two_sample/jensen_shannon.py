"""Jensen-Shannon distance."""

import math

import numpy as np
from scipy import special

from drift.base import Values
from drift.sketches.numeric import DEFAULT_BINS, NumericBins
from drift.two_sample.base import NO_UNIT, Comparison
from drift.two_sample.cells import Counts, Sketch, paired_cells, sampling_chi_square, shares


def jensen_shannon(reference: Values, current: Values, *, bins: int = DEFAULT_BINS) -> Comparison:
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
        As `jensen_shannon_counts`.
    """
    cells = NumericBins.from_reference(reference, bins=bins)
    return jensen_shannon_counts(cells.sketch(reference), cells.sketch(current))


def jensen_shannon_counts(reference: Sketch, current: Sketch) -> Comparison:
    """The same from counts, also of categories.

    Returns
    -------
    Comparison
        Statistic: square root of the divergence to base 2, in [0, 1], no unit: 0 for equal shares,
        1 if no cell is shared. No p-value. `noise` is about what two windows of this size show
        when nothing changed; it is not small: .1 for 500 rows each in 64 bins is quiet.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidSettingError
        If the windows were not counted in the same cells.

    Notes
    -----
    Empty cells need no rule. O(cells) time. Deaf to the order of bins: a value that moved far
    counts as one that moved to the next bin.

    References
    ----------
    J. Lin, IEEE Trans. Inf. Theory 37(1), 1991, 145-151; D. M. Endres, J. E. Schindelin, IEEE
    Trans. Inf. Theory 49(7), 2003, 1858-1860 (its root is a metric).
    """
    first, second = paired_cells(reference, current)
    # For close shares the divergence is an eighth of sum (p - q)^2 / p, in nats.
    noise = math.sqrt(sampling_chi_square(first, second) / (8.0 * math.log(2.0)))
    return Comparison(
        "jensen-shannon",
        distance(first, second),
        NO_UNIT,
        None,
        int(first.sum()),
        int(second.sum()),
        noise=min(1.0, noise),
    )


def distance(first: Counts, second: Counts) -> float:
    """Root of the Jensen-Shannon divergence to base 2."""
    p, q = shares(first), shares(second)
    middle = (p + q) / 2.0
    divergence = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum() / 2.0
    return math.sqrt(float(np.clip(divergence / math.log(2.0), 0.0, 1.0)))
