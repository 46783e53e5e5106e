"""A score that tells recent rows from older ones, by what changed in means, spreads and pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Values

FURTHEST = 4.0
"""Standardised values beyond this count as this: one odd value teaches nothing."""

NOISE = 2.0
"""A difference of means within this many standard errors is taken for chance and left out."""

ALONE = -1
"""In the place of a pair's second column, where a column is taken by itself."""


@dataclass(frozen=True, slots=True)
class Score:
    """A weighted sum of standardised columns and of products of two of them.

    Sums run over the terms in a fixed order, so a row's score is the same to the bit, whatever
    other rows it comes with.
    """

    centre: Values
    """Shape (columns,): median of each column among the older rows."""
    scale: Values
    """Shape (columns,): its spread, above 0."""
    first: NDArray[np.int64]
    """Shape (terms,): column of each term."""
    second: NDArray[np.int64]
    """Shape (terms,): the column it is multiplied by, or `ALONE`."""
    weight: Values
    """Shape (terms,): above 0 where the term is larger among the recent rows."""

    def of(self, rows: Values) -> Values:
        """Score of each row, shape (n,); higher for what resembles the recent rows."""
        standard = _standardised(rows, self.centre, self.scale)
        total = np.zeros(len(rows))
        for first, second, weight in zip(
            self.first.tolist(), self.second.tolist(), self.weight.tolist(), strict=True
        ):
            term = standard[:, first]
            total += weight * (term if second == ALONE else term * standard[:, second])
        return total


def learned(older: Values, recent: Values) -> Score:
    """Learn what tells recent rows from older ones.

    Each term's weight is the difference of its means in standard errors, shrunken by `NOISE`, over
    its spread: the nearest shrunken centroid, in the space of columns, squares and products. With
    many columns and few recent rows it errs less than a fitted classifier, and costs one pass.

    Parameters
    ----------
    older, recent : shape (n, columns), shape (m, columns)
        Finite rows, at least two of each.

    References
    ----------
    R. Tibshirani et al., "Diagnosis of multiple cancer types by shrunken centroids of gene
    expression", PNAS 99(10), 2002, 6567-6572.
    """
    low, centre, high = np.quantile(older, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    # A flag that is nearly always 0 has no quartiles apart, and a constant has no spread at all.
    scale = np.where(scale > 0.0, scale, older.std(axis=0))
    scale = np.where(scale > 0.0, scale, 1.0)
    before, now = _standardised(older, centre, scale), _standardised(recent, centre, scale)
    columns = older.shape[1]
    single = np.arange(columns)
    first, second = np.triu_indices(columns)
    mean, variance = _moments(before, first, second)
    mean_now, _ = _moments(now, first, second)
    # A term that never varied has no standard error: the least one keeps it finite.
    spread = np.sqrt(np.maximum(variance, 1e-6))
    error = spread * np.sqrt(1.0 / len(older) + 1.0 / len(recent))
    difference = (mean_now - mean) / error
    size = np.abs(difference)
    kept = size > NOISE
    if not kept.any():
        kept = size == size.max()
        shrunken = difference
    else:
        shrunken = np.sign(difference) * (size - NOISE)
    firsts = np.concatenate([single, first])
    seconds = np.concatenate([np.full(columns, ALONE), second])
    return Score(centre, scale, firsts[kept], seconds[kept], (shrunken / spread)[kept])


def _standardised(rows: Values, centre: Values, scale: Values) -> Values:
    standard: Values = (rows - centre) / scale
    np.clip(standard, -FURTHEST, FURTHEST, out=standard)
    return standard


def _moments(
    standard: Values, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[Values, Values]:
    """Mean and variance of each column, then of each product of two."""
    n = len(standard)
    squares = standard * standard
    mean = standard.mean(axis=0)
    product = (standard.T @ standard / n)[first, second]
    fourth = (squares.T @ squares / n)[first, second]
    means = np.concatenate([mean, product])
    seconds = np.concatenate([squares.mean(axis=0), fourth])
    return means, seconds - means**2
