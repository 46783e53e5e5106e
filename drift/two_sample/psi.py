"""Population stability index."""

import numpy as np

from drift.base import Values
from drift.sketches.numeric import NumericBins
from drift.two_sample.base import Comparison
from drift.two_sample.cells import Counts, Sketch, paired_cells, sampling_chi_square

CUSTOMARY_BINS = 10
"""Deciles, for which the customary limits .1 and .2 are quoted."""


def psi(reference: Values, current: Values, *, bins: int = CUSTOMARY_BINS) -> Comparison:
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
        As `psi_counts`.
    """
    cells = NumericBins.from_reference(reference, bins=bins)
    return psi_counts(cells.sketch(reference), cells.sketch(current))


def psi_counts(reference: Sketch, current: Sketch) -> Comparison:
    """The same from counts, also of categories.

    Returns
    -------
    Comparison
        Statistic: sum of (p - q) log(p / q), in nats, at least 0; both directions of the
        Kullback-Leibler divergence added. No p-value. `noise` is what two windows of this size
        show on average when nothing changed: compare with it before with .1 or .2.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidSettingError
        If the windows were not counted in the same cells.

    Notes
    -----
    A cell that is empty in one window counts as half a row there; without that rule one row in a
    new cell would make the index infinite. The value depends on the number of bins and, through
    the noise of (cells - 1)(1/n + 1/m), on the windows. O(cells) time. Slow to notice: at the
    limit .2 with windows of 500, a shift of a quarter standard deviation is never reported.

    References
    ----------
    H. Jeffreys, Proc. R. Soc. A 186, 1946, 453-461 (the divergence); B. Yurdakul, dissertation,
    Western Michigan University, 2018 (its sampling distribution).
    """
    first, second = paired_cells(reference, current)
    return Comparison(
        "population-stability-index",
        divergence(first, second),
        "nat",
        None,
        int(first.sum()),
        int(second.sum()),
        noise=sampling_chi_square(first, second),
    )


def divergence(first: Counts, second: Counts) -> float:
    """Sum of (p - q) log(p / q) over cells of which at most one side is empty."""
    p = np.maximum(first, 0.5) / first.sum()
    q = np.maximum(second, 0.5) / second.sum()
    return float(((p - q) * np.log(p / q)).sum())
