"""Confidence-based performance estimation of a classifier of several classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from drift.errors import InsufficientDataError, InvalidObservationError
from drift.estimates.base import Estimate
from drift.estimates.calibration import LEAST_ROWS, Calibration
from drift.estimates.cbpe import CBPE

Classes = NDArray[np.int64]
"""Positions of classes, from 0."""


@dataclass(frozen=True, slots=True)
class MulticlassCBPE:
    """Accuracy, and precision, recall, F1 and AUC averaged over classes, without labels.

    Each class is calibrated against the rest; then a row's probabilities are scaled to sum to 1.

    Notes
    -----
    What it cannot see: as `CBPE`, concept drift above all.
    """

    guaranteed: ClassVar[bool] = False
    assumption: ClassVar[str] = CBPE.assumption

    calibrations: tuple[Calibration, ...]
    """One for each class."""

    @classmethod
    def fit(cls, scores: NDArray[np.float64], labels: Classes) -> Self:
        """Learn from a reference with labels what the scores mean.

        Parameters
        ----------
        scores : shape (n, classes), two classes at least
            In [0, 1]. Rows the model was not trained on.
        labels : shape (n,)
            Position of the true class, from 0.

        Raises
        ------
        InsufficientDataError
            If there are fewer than `LEAST_ROWS` rows.
        InvalidObservationError
            If a score is outside [0, 1] or NaN, or a label is no class.
        """
        scores = _checked_scores(scores, least=LEAST_ROWS)
        labels = _checked_classes("labels", labels, scores)
        return cls(
            tuple(
                Calibration.where_it_helps(scores[:, k], (labels == k).astype(np.float64))
                for k in range(scores.shape[1])
            )
        )

    def estimate(self, scores: NDArray[np.float64], predicted: Classes) -> dict[str, Estimate]:
        """Estimate all metrics of one window.

        Parameters
        ----------
        scores : shape (n, classes), n at least 1
            In [0, 1].
        predicted : shape (n,)
            Position of the class that was answered.

        Returns
        -------
        By metric: `accuracy`, and the plain means over classes `precision`, `recall`, `f1` and
        `roc_auc` (each class against the rest). A mean is None if the figure of a class is.
        """
        scores = _checked_scores(scores)
        if scores.shape[1] != len(self.calibrations):
            raise InvalidObservationError(
                "scores", f"{len(self.calibrations)} classes", scores.shape[1]
            )
        predicted = _checked_classes("predicted", predicted, scores)
        chance = self.probabilities(scores)
        n = len(scores)
        right = chance[np.arange(n), predicted]
        error = float(np.sqrt((right * (1.0 - right)).sum())) / n
        estimates = {"accuracy": Estimate("accuracy", float(right.mean()), error, n)}
        by_class = [
            CBPE.from_probabilities(scores[:, k], chance[:, k], (predicted == k).astype(np.float64))
            for k in range(scores.shape[1])
        ]
        for metric in ("precision", "recall", "f1", "roc_auc"):
            estimates[metric] = _mean(metric, [figures[metric] for figures in by_class], n)
        return estimates

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities, each row summing to 1."""
        chance = np.column_stack([curve(scores[:, k]) for k, curve in enumerate(self.calibrations)])
        total = chance.sum(axis=1, keepdims=True)
        even = np.full_like(chance, 1.0 / chance.shape[1])
        np.divide(chance, total, out=even, where=total > 0.0)
        return even


def _mean(metric: str, figures: Sequence[Estimate], n: int) -> Estimate:
    values = [figure.value for figure in figures if figure.value is not None]
    if len(values) < len(figures):
        return Estimate(metric, None, None, n)
    # The classes' figures hang together in a way that is not worked out here.
    return Estimate(metric, sum(values) / len(values), None, n)


def _checked_scores(scores: NDArray[np.float64], *, least: int = 1) -> NDArray[np.float64]:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise InvalidObservationError("scores", "shape (n, classes)", f"shape {scores.shape}")
    if len(scores) < least:
        raise InsufficientDataError("scores", least, len(scores))
    good = ((scores >= 0.0) & (scores <= 1.0)).all(axis=1)
    if not good.all():
        index = int(np.argmin(good))
        raise InvalidObservationError("scores", "numbers in [0, 1]", scores[index].tolist(), index)
    return scores


def _checked_classes(name: str, values: Classes, scores: NDArray[np.float64]) -> Classes:
    values = np.asarray(values)
    n, classes = scores.shape
    if values.shape != (n,) or values.dtype.kind not in "iu":
        raise InvalidObservationError(
            name, f"whole numbers of shape ({n},)", f"{values.dtype} of shape {values.shape}"
        )
    good = (values >= 0) & (values < classes)
    if not good.all():
        index = int(np.argmin(good))
        raise InvalidObservationError(name, f"a class below {classes}", int(values[index]), index)
    return values.astype(np.int64)
