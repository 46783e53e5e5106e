"""Exact p-values for quadratic statistics: what would another split of the same rows have shown?"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drift.base import checked_count
from drift.two_sample.base import MIN_SIZE, Rows

MAX_ROWS = 1_000
"""Most rows taken from a window by default; every pair of rows is compared."""

PERMUTATIONS = 199
"""Splits compared with; the smallest p-value is 1 / (PERMUTATIONS + 1)."""


def drawn_rows(rows: Rows, limit: int, rng: Generator) -> Rows:
    """At most `limit` of the rows, drawn without looking at them, so no level is touched.

    Raises
    ------
    InvalidSettingError
        If the limit is below `MIN_SIZE`.
    """
    checked_count("max_rows", limit, least=MIN_SIZE)
    if len(rows) <= limit:
        return rows
    return rows[np.sort(rng.choice(len(rows), limit, replace=False))]


def quadratic_form(
    matrix: NDArray[np.float64], n: int, rng: Generator, permutations: int
) -> tuple[float, float]:
    """Mean inside the windows minus mean across them, and its p-value under random splits.

    Parameters
    ----------
    matrix : shape (n + m, n + m)
        Symmetric similarities of all rows, the reference's first.
    n
        Rows of the reference.
    permutations
        Random splits to compare with, at least 19.

    Returns
    -------
    statistic
        w' K w with w = 1/n on the reference and -1/m on the window; at least 0 for a kernel.
    pvalue
        Share of splits, the true one included, that show at least as much. At most alpha with
        probability at most alpha if nothing changed, for any distribution and any size.
    """
    permutations = checked_count("permutations", permutations, least=19)
    size = len(matrix)
    weights = np.where(np.arange(size) < n, 1.0 / n, -1.0 / (size - n))
    splits = rng.permuted(np.tile(weights, (permutations, 1)), axis=1)
    splits = np.concatenate([weights[np.newaxis], splits])
    statistics = np.einsum("ij,ij->i", splits @ matrix, splits)
    # Splits that are equal in exact arithmetic may differ in the last digits, and count as equal.
    slack = 1e-12 * float(np.abs(matrix).max())
    at_least = int((statistics >= statistics[0] - slack).sum())
    return float(statistics[0]), at_least / (permutations + 1)
