"""Energy distance: how much further apart rows are across the windows than inside them."""

import math

import numpy as np
from numpy.random import Generator
from scipy.spatial import distance

from drift.two_sample.base import NO_UNIT, Comparison, Rows, checked_rows, standardised
from drift.two_sample.permutation import MAX_ROWS, PERMUTATIONS, drawn_rows, quadratic_form


def energy_test(
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
        Statistic: root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|, at least 0, in pooled standard
        deviations and so without a unit. n and m are the rows compared.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` rows.
    InvalidObservationError
        If a value is not finite or the columns do not fit.

    Notes
    -----
    Valid for one look, exactly, for any distribution (permutation). Costs (n + m)^2 distances and
    as much memory. Hears a shift of the mean best; in many columns deaf to a changed correlation of
    a few, which drowns among the distances.

    References
    ----------
    G. J. Székely, M. L. Rizzo, J. Stat. Plan. Inference 143(8), 2013, 1249-1272.
    """
    reference, current = checked_rows(reference, current)
    reference, current = drawn_rows(reference, max_rows, rng), drawn_rows(current, max_rows, rng)
    rows = np.concatenate(standardised(reference, current))
    apart = distance.squareform(distance.pdist(rows))
    statistic, pvalue = quadratic_form(-apart, len(reference), rng, permutations)
    return Comparison(
        "energy", math.sqrt(max(0.0, statistic)), NO_UNIT, pvalue, len(reference), len(current)
    )
