"""Chi-square: whether two windows fall into cells in the same shares."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from drift.binning import count_categories
from drift.sketches.categorical import CategoricalBins
from drift.sketches.numeric import NumericSketch
from drift.two_sample.base import NO_UNIT, Comparison
from drift.two_sample.cells import Counts, Sketch, paired_cells

LEAST_EXPECTED = 5.0
"""Rows that a cell must be expected to hold in the smaller window to be tested by itself."""

ROWS_A_GROUP = 20
"""Rows of the smaller window, on average, to each group of neighbouring bins."""


def chi_square_test(reference: NDArray[np.generic], current: NDArray[np.generic]) -> Comparison:
    """Test H0: the categories have the same shares in both windows.

    Parameters
    ----------
    reference : shape (n,)
        One categorical feature in the reference window; None and NaN are a category, "missing".
    current : shape (m,)
        The same feature in the current window.

    Returns
    -------
    Comparison
        As `chi_square_test_counts`.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidObservationError
        If a value is no category.
    """
    # Cells from both windows alike: then nothing about a cell says which window it is from.
    (first, first_missing), (second, second_missing) = (
        count_categories("reference", reference),
        count_categories("current", current),
    )
    both = {value: first.get(value, 0) + second.get(value, 0) for value in (*first, *second)}
    bins = CategoricalBins(tuple(sorted(both, key=lambda value: (-both[value], str(value)))))
    return chi_square_test_counts(
        bins.sketch_found(first, first_missing), bins.sketch_found(second, second_missing)
    )


def chi_square_test_counts(reference: Sketch, current: Sketch) -> Comparison:
    """The same from counts; a numeric feature is tested over its bins.

    Returns
    -------
    Comparison
        Statistic: Pearson's chi-square of the two-row table, at least 0, no unit. It grows with the
        windows: it measures evidence, not the size of the change. `noise` holds its degrees of
        freedom, which is its mean when nothing changed.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidSettingError
        If the windows were not counted in the same cells.

    Notes
    -----
    Valid for one look. Both windows count as samples: taking the reference for the truth, as a
    test of fit does, calls drift in 20 to 100 % of quiet windows.

    Which cells are joined must not follow the data of one window alone, or the test finds what the
    choice put there. Neighbouring bins form groups by the sizes of the windows only
    (`ROWS_A_GROUP`), out of range going with the outermost. OTHER, UNSEEN and whatever is expected
    to hold fewer than `LEAST_EXPECTED` rows in the smaller window, judged by both together, is one
    cell: a reference never holds what it has not seen, so UNSEEN alone would always look new.

    O(cells) time. Deaf to the order of bins: a small shift spread over many bins is seen later than
    by Kolmogorov-Smirnov.

    References
    ----------
    K. Pearson, Phil. Mag. 50, 1900, 157-175; R. A. Fisher, J. R. Stat. Soc. 85, 1922, 87-94.
    """
    paired_cells(reference, current)
    table = np.array([reference.counts, current.counts], dtype=np.int64)
    if isinstance(reference, NumericSketch):
        table = _joined_rare(_grouped(table), 0)
    else:
        # OTHER and UNSEEN come first, before the categories and missing.
        order = [-3, -2, *range(table.shape[1] - 3), -1]
        table = _joined_rare(table[:, order], 2)
    n, m = table.sum(axis=1)
    expected = np.outer([n, m], table.sum(axis=0) / (n + m))
    statistic = float(((table - expected) ** 2 / expected).sum())
    freedom = table.shape[1] - 1
    pvalue = float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0
    return Comparison(
        "chi-square", statistic, NO_UNIT, pvalue, int(n), int(m), noise=float(freedom)
    )


def _grouped(table: Counts) -> Counts:
    """Runs of neighbouring bins; missing stays by itself."""
    values, missing = table[:, :-1], table[:, -1:]
    inner = values.shape[1] - 2
    groups = int(np.clip(table.sum(axis=1).min() // ROWS_A_GROUP, 1, inner))
    starts = np.concatenate([[0], 1 + np.arange(1, groups) * inner // groups])
    return np.concatenate([np.add.reduceat(values, starts, axis=1), missing], axis=1)


def _joined_rare(table: Counts, always: int) -> Counts:
    """Make one cell of the first `always` cells and of each that is rare in both together."""
    both = table.sum(axis=0)
    expected = both * (table.sum(axis=1).min() / both.sum())
    rare = expected < LEAST_EXPECTED
    rare[:always] = True
    alone = np.flatnonzero(~rare)
    if 0.0 < expected[rare].sum() < LEAST_EXPECTED and len(alone):
        # Even together they are too few: they go with the rarest of the others.
        least = alone[np.argmin(both[alone])]
        rare[least] = True
    joined = table[:, rare].sum(axis=1, keepdims=True)
    cells = np.concatenate([joined, table[:, ~rare]], axis=1)
    return cells[:, cells.sum(axis=0) > 0]
