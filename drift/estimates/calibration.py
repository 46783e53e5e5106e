"""Scores turned into probabilities, learnt from a reference with labels."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from drift.errors import InsufficientDataError, InvalidObservationError

LEAST_ROWS = 100
"""Labelled reference rows below which a calibration curve is noise."""

FOLDS = 10
"""Parts of the reference; each is calibrated by the others to see whether calibration helps."""

_BUCKETS = 10
"""Equal parts, by score, in which promised and actual frequencies are compared."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A non-decreasing map from score to probability; straight lines between its points."""

    scores: tuple[float, ...]
    """Increasing; empty for the map that leaves every score as it is."""
    probabilities: tuple[float, ...]
    """Non-decreasing, in [0, 1]."""

    @classmethod
    def identity(cls) -> Self:
        """Leave every score as it is."""
        return cls((), ())

    @classmethod
    def isotonic(cls, scores: Scores, labels: Scores) -> Self:
        """The non-decreasing map closest to the labels in squares.

        References
        ----------
        B. Zadrozny, C. Elkan, Proc. KDD 2002, 694-699.
        """
        different, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        shares = np.bincount(place, weights=labels) / counts
        fitted = optimize.isotonic_regression(shares, weights=counts.astype(np.float64)).x
        # Only the ends of each level stretch shape the map.
        inner = (np.diff(fitted[:-1]) != 0.0) | (np.diff(fitted[1:]) != 0.0)
        kept = np.ones(len(fitted), dtype=np.bool_)
        kept[1:-1] = inner
        return cls(tuple(different[kept].tolist()), tuple(fitted[kept].tolist()))

    @classmethod
    def where_it_helps(cls, scores: Scores, labels: Scores) -> Self:
        """Isotonic if that brings held-out parts of the reference closer to their labels.

        Scores that are calibrated already only become noisier by another map. The parts are every
        tenth row of each label, in the order given, so the answer needs no random numbers.
        """
        if len(np.unique(labels)) < 2:
            return cls.identity()
        fold = np.empty(len(labels), dtype=np.int64)
        for label in (0.0, 1.0):
            of_label = np.flatnonzero(labels == label)
            fold[of_label] = np.arange(len(of_label)) % FOLDS
        mapped = np.empty_like(scores)
        for part in range(FOLDS):
            held_out = fold == part
            mapped[held_out] = cls.isotonic(scores[~held_out], labels[~held_out])(scores[held_out])
        if calibration_error(scores, labels) > calibration_error(mapped, labels):
            return cls.isotonic(scores, labels)
        return cls.identity()

    def __call__(self, scores: Scores) -> Scores:
        """Probabilities; a score beyond the reference's takes that of the nearest."""
        if not self.scores:
            return scores
        return np.interp(scores, self.scores, self.probabilities)


def calibration_error(probabilities: Scores, labels: Scores) -> float:
    """Expected calibration error over tenths of the rows, in [0, 1].

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, Proc. AAAI 2015, 2901-2907.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = zip(
        np.array_split(probabilities[order], _BUCKETS),
        np.array_split(labels[order], _BUCKETS),
        strict=True,
    )
    return float(sum(abs(p.sum() - y.sum()) for p, y in parts) / len(labels))


def checked_probabilities(name: str, scores: Scores, *, least: int = 1) -> Scores:
    """Refuse what is not shape (n,), outside [0, 1] or NaN, or shorter than `least`."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise InvalidObservationError(name, "shape (n,)", f"shape {scores.shape}")
    if len(scores) < least:
        raise InsufficientDataError(name, least, len(scores))
    good = (scores >= 0.0) & (scores <= 1.0)
    if not good.all():
        index = int(np.argmin(good))
        raise InvalidObservationError(name, "a number in [0, 1]", float(scores[index]), index)
    return scores


def checked_zero_one(name: str, values: Scores, size: int) -> Scores:
    """Refuse what is not `size` values of 0 or 1."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (size,):
        raise InvalidObservationError(name, f"shape ({size},)", f"shape {values.shape}")
    good = (values == 0.0) | (values == 1.0)
    if not good.all():
        index = int(np.argmin(good))
        raise InvalidObservationError(name, "0 or 1", float(values[index]), index)
    return values
