"""Maximum mean discrepancy with a Gaussian kernel."""

import math

import numpy as np
from numpy.random import Generator
from scipy.spatial import distance

from drift.two_sample.base import NO_UNIT, Comparison, Rows, checked_rows, standardised
from drift.two_sample.permutation import MAX_ROWS, PERMUTATIONS, drawn_rows, quadratic_form


def mmd_test(
    reference: Rows,
    current: Rows,
    rng: Generator,
    *,
    permutations: int = PERMUTATIONS,
    max_rows: int = MAX_ROWS,
) -> Comparison:
    """Test H0: both windows are drawn from the same joint distribution.

    Parameters
    ----------
    reference : shape (n, columns) or (n,)
        Features in the reference window, each in its own unit.
    current : shape (m, columns) or (m,)
        The same features in the current window.
    rng
        Draws the rows to compare and the splits; the same generator gives the same answer.
    permutations
        Splits compared with, at least 19.
    max_rows
        Most rows taken from each window, at least `MIN_SIZE`.

    Returns
    -------
    Comparison
        Statistic: distance of the windows' mean embeddings, in [0, root 2], no unit. The kernel's
        width is the median distance of all rows, so it depends on both windows. n and m are the
        rows compared.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidObservationError
        If a value is not finite or the columns do not fit.

    Notes
    -----
    Valid for one look, exactly, for any distribution (permutation): the width is chosen from both
    windows together. Costs (n + m)^2 kernel values and as much memory. Deaf to structure finer than
    the median distance, such as a second peak inside the first, and in many columns to all but
    broad changes.

    References
    ----------
    A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola, J. Mach. Learn. Res. 13, 2012,
    723-773.
    """
    reference, current = checked_rows(reference, current)
    reference, current = drawn_rows(reference, max_rows, rng), drawn_rows(current, max_rows, rng)
    squared = distance.pdist(np.concatenate(standardised(reference, current)), "sqeuclidean")
    apart = squared[squared > 0.0]
    # Without two different rows every kernel is 1 and the statistic 0.
    width = float(np.median(apart)) if len(apart) else 1.0
    kernel = np.exp(-distance.squareform(squared) / width)
    statistic, pvalue = quadratic_form(kernel, len(reference), rng, permutations)
    return Comparison(
        "maximum-mean-discrepancy",
        math.sqrt(max(0.0, statistic)),
        NO_UNIT,
        pvalue,
        len(reference),
        len(current),
    )
