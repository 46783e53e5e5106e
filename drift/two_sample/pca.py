"""PCA reconstruction: do the columns still hang together as they did?"""

import numpy as np
from numpy.random import Generator

from drift.base import checked_number
from drift.errors import InsufficientDataError
from drift.two_sample.base import MIN_SIZE, NO_UNIT, Comparison, Rows, checked_rows
from drift.two_sample.ks import ks_test

KEPT_VARIANCE = 0.65
"""Share of the variance that the kept components explain, unless told otherwise."""


def pca_reconstruction_test(
    reference: Rows, current: Rows, rng: Generator, *, kept_variance: float = KEPT_VARIANCE
) -> Comparison:
    """Test H0: rows of both windows are equally far from the reference's principal components.

    Half of the reference fits the components; the other half says how far rows usually are.

    Parameters
    ----------
    reference : shape (n, columns), two columns at least
        Numeric features in the reference window, each in its own unit.
    current : shape (m, columns)
        The same features in the current window.
    rng
        Draws the halves of the reference; the same generator gives the same answer.
    kept_variance
        In (0, 1).

    Returns
    -------
    Comparison
        Statistic: mean reconstruction error in the current window over that of the held-out
        reference, at least 0, no unit: 1 when nothing changed; below 1 the columns hang together
        more than before. The p-value is of the Kolmogorov-Smirnov test of the errors. n counts the
        held-out rows.

    Raises
    ------
    InsufficientDataError
        If a window is too short, there is one column, or the reference does not vary.
    InvalidObservationError
        If a value is not finite or the columns do not fit.

    Notes
    -----
    Valid for one look. Errors of the rows that the components were fitted on are too small, which
    is why they are not compared with. O(n columns^2) time. Deaf to any change along the kept
    components: rows that move where the reference already varied most reconstruct as well as ever.

    References
    ----------
    I. T. Jolliffe, Principal Component Analysis, 2nd ed., Springer 2002, chapter 10.
    """
    kept_variance = checked_number("kept_variance", kept_variance, above=0.0, below=1.0)
    reference, current = checked_rows(reference, current)
    if len(reference) < 2 * MIN_SIZE:
        raise InsufficientDataError("reference", 2 * MIN_SIZE, len(reference))
    if reference.shape[1] < 2:
        raise InsufficientDataError("columns", 2, reference.shape[1])
    rows = rng.permutation(reference)
    fitted, held_out = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    centre, scale = fitted.mean(axis=0), fitted.std(axis=0)
    varies = scale > 0.0
    if varies.sum() < 2:
        raise InsufficientDataError("columns that vary in the reference", 2, int(varies.sum()))
    # A column that was constant is kept as it is: leaving its constant is an error in full.
    scale = np.where(varies, scale, 1.0)
    _, singular, components = np.linalg.svd((fitted - centre) / scale, full_matrices=False)
    explained = np.cumsum(singular**2) / (singular**2).sum()
    kept = components[: int(np.searchsorted(explained, kept_variance)) + 1]

    def errors(window: Rows) -> Rows:
        moved = (window - centre) / scale
        return np.asarray(np.linalg.norm(moved - moved @ kept.T @ kept, axis=1))

    usual, now = errors(held_out), errors(current)
    gap = ks_test(usual, now)
    mean = float(usual.mean())
    ratio = float(now.mean()) / mean if mean > 0.0 else float(now.mean() == 0.0) or np.inf
    return Comparison("pca-reconstruction", ratio, NO_UNIT, gap.pvalue, gap.n, gap.m, noise=1.0)
