"""Metrics that are ratios, as means: precision, recall, F1, click-through rate.

A ratio ``E[a] / E[b] >= r`` says the same as ``E[r b - a] <= 0``. So each row is turned into
``z = r b - a``, and "the mean of z is at most 0" is watched exactly, with no window and no delta
method. Feed z to `drift.means.signed.SignedMean` with limit 0 and the range given here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_number, checked_values
from drift.errors import InvalidObservationError

Flags = NDArray[np.bool_] | Values
"""Shape (n,): 0 or 1."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A ratio as a mean that must not exceed 0."""

    values: Values
    """Shape (n,): z of each row that counts."""
    rows: NDArray[np.int64]
    """Shape (n,): index of each among the rows given; others say nothing about the ratio."""
    lower: float
    """Smallest z that is possible."""
    upper: float
    """Largest z that is possible."""


def ratio(
    numerators: Values,
    denominators: Values,
    least: float,
    *,
    largest_numerator: float = 1.0,
    largest_denominator: float = 1.0,
) -> Reduced:
    """Watch that sum of numerators / sum of denominators stays at or above `least`.

    Parameters
    ----------
    numerators, denominators : shape (n,)
        At least 0 and at most the largest of their kind; revenue and visits, clicks and views.
    least
        Smallest ratio that is accepted, above 0.
    """
    infinite = float("inf")
    least = checked_number("least", least, above=0.0, below=infinite)
    top = checked_number("largest_numerator", largest_numerator, above=0.0, below=infinite)
    bottom = checked_number("largest_denominator", largest_denominator, above=0.0, below=infinite)
    numerators = checked_values(numerators, lower=0.0, upper=top)
    denominators = checked_values(denominators, lower=0.0, upper=bottom)
    if len(numerators) != len(denominators):
        raise InvalidObservationError("denominators", f"{len(numerators)}", len(denominators))
    values = least * denominators - numerators
    return Reduced(values, np.arange(len(values)), -top, least * bottom)


def precision(labels: Flags, outputs: Flags, least: float) -> Reduced:
    """Watch that the share of true positives among positive outputs is at least `least`."""
    truth, said = _flags(labels, outputs)
    return _share(truth, said, least)


def recall(labels: Flags, outputs: Flags, least: float) -> Reduced:
    """Watch that the share of positives that were found is at least `least`."""
    truth, said = _flags(labels, outputs)
    return _share(said, truth, least)


def f1(labels: Flags, outputs: Flags, least: float) -> Reduced:
    """Watch that F1 = 2 TP / (2 TP + FP + FN) is at least `least`, in (0, 1).

    ``z = least (FP + FN) - 2 (1 - least) TP``; true negatives say nothing and are left out.
    """
    least = checked_number("least", least, above=0.0, below=1.0)
    truth, said = _flags(labels, outputs)
    counts = truth | said
    right = (truth & said)[counts]
    values = np.where(right, -2.0 * (1.0 - least), least)
    return Reduced(values, np.flatnonzero(counts), -2.0 * (1.0 - least), least)


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], least: float) -> Reduced:
    """The share of hits among some rows; the others say nothing and are left out."""
    least = checked_number("least", least, above=0.0, below=1.0)
    values: Values = np.where(hits[among], least - 1.0, least)
    return Reduced(values, np.flatnonzero(among), least - 1.0, least)


def _flags(labels: Flags, outputs: Flags) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    pair = []
    for what, given in (("label", labels), ("output", outputs)):
        flags = checked_values(np.asarray(given, dtype=np.float64), lower=0.0, upper=1.0)
        good = (flags == 0.0) | (flags == 1.0)
        if not good.all():
            index = int(np.argmin(good))
            raise InvalidObservationError(what, "0 or 1", float(flags[index]), index)
        pair.append(flags == 1.0)
    if len(pair[0]) != len(pair[1]):
        raise InvalidObservationError("outputs", f"{len(pair[0])} of them", len(pair[1]))
    return pair[0], pair[1]
