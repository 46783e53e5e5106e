"""Confidence-based performance estimation of a binary classifier (CBPE)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from drift.estimates.base import Estimate
from drift.estimates.calibration import (
    LEAST_ROWS,
    Calibration,
    Scores,
    checked_probabilities,
    checked_zero_one,
)


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Expected numbers of rows; they need not be whole."""

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float


@dataclass(frozen=True, slots=True)
class CBPE:
    """Accuracy, precision, recall, F1 and AUC without labels, from calibrated scores.

    If a score of .8 means "positive in 8 of 10 cases", each row says how likely it is to be right,
    and the sum over rows is the expected confusion matrix.

    Notes
    -----
    What it cannot see: concept drift, entirely. If inputs with a score of .8 become positive in 6
    of 10 cases, the estimate does not move. It is also wrong where scores are no longer calibrated
    because the inputs moved to where the model was never tested, and noisy in windows of a few
    hundred rows. What it sees well is a shift of the inputs towards harder or easier cases.

    References
    ----------
    J. Kivimäki, J. Białek, J. K. Nurminen, W. Kuberski, "Confidence-based estimators for predictive
    performance in model monitoring", J. Artif. Intell. Res. 82, 2025.
    """

    guaranteed: ClassVar[bool] = False
    assumption: ClassVar[str] = (
        "Scores mean the same frequencies of the label as in the reference: no concept drift."
    )

    calibration: Calibration

    @classmethod
    def fit(cls, scores: Scores, labels: Scores) -> Self:
        """Learn from a reference with labels what a score means.

        Parameters
        ----------
        scores : shape (n,)
            Of the positive class, in [0, 1]. Rows the model was not trained on.
        labels : shape (n,)
            0 or 1.

        Raises
        ------
        InsufficientDataError
            If there are fewer than `LEAST_ROWS` rows.
        InvalidObservationError
            If a score is outside [0, 1] or NaN, or a label is neither 0 nor 1.
        """
        scores = checked_probabilities("scores", scores, least=LEAST_ROWS)
        labels = checked_zero_one("labels", labels, len(scores))
        return cls(Calibration.where_it_helps(scores, labels))

    def confusion_matrix(self, scores: Scores, predicted: Scores) -> ConfusionMatrix:
        """Expected confusion matrix of one window.

        Parameters
        ----------
        scores : shape (n,), n at least 1
            Of the positive class, in [0, 1].
        predicted : shape (n,)
            What was answered, 0 or 1.
        """
        scores = checked_probabilities("scores", scores)
        predicted = checked_zero_one("predicted", predicted, len(scores))
        return _expected(self.calibration(scores), predicted)

    def estimate(self, scores: Scores, predicted: Scores) -> dict[str, Estimate]:
        """Estimate all metrics of one window.

        Parameters
        ----------
        scores : shape (n,), n at least 1
            Of the positive class, in [0, 1].
        predicted : shape (n,)
            What was answered, 0 or 1.

        Returns
        -------
        By metric: `accuracy`, `precision`, `recall`, `f1`, `roc_auc`, each in [0, 1].

        Raises
        ------
        InsufficientDataError
            If there is no row.
        InvalidObservationError
            If a score is outside [0, 1] or NaN, or an answer is neither 0 nor 1.

        Notes
        -----
        O(n log n) time, for the AUC. The standard error is that of labels drawn with the calibrated
        probabilities, by the delta method.
        """
        scores = checked_probabilities("scores", scores)
        predicted = checked_zero_one("predicted", predicted, len(scores))
        return self.from_probabilities(scores, self.calibration(scores), predicted)

    @staticmethod
    def from_probabilities(
        scores: Scores, chance: Scores, predicted: Scores
    ) -> dict[str, Estimate]:
        """The same from probabilities that are calibrated already; scores only order the rows."""
        matrix = _expected(chance, predicted)
        tp, fp, fn = matrix.true_positives, matrix.false_positives, matrix.false_negatives
        positives, found = tp + fn, tp + fp
        # Each ratio with its derivative by the label of a row that was answered 1, and by that of
        # one that was answered 0: a label turned from 0 to 1 moves fp to tp, or tn to fn.
        n = len(scores)
        twice = 2.0 * tp + fp + fn
        ratios = {
            "accuracy": (tp + matrix.true_negatives, float(n), 1.0 / n, -1.0 / n),
            "precision": (tp, found, _over(1.0, found), 0.0),
            "recall": (tp, positives, _over(fn, positives**2), _over(-tp, positives**2)),
            "f1": (
                2.0 * tp,
                twice,
                _over(2.0 * (twice - tp), twice**2),
                _over(-2.0 * tp, twice**2),
            ),
        }
        spread = chance * (1.0 - chance)
        on_positive = float(spread[predicted == 1.0].sum())
        on_negative = float(spread[predicted == 0.0].sum())
        estimates = {
            name: Estimate(
                name,
                top / bottom,
                math.sqrt(if_one**2 * on_positive + if_zero**2 * on_negative),
                n,
            )
            if bottom > 0.0
            else Estimate(name, None, None, n)
            for name, (top, bottom, if_one, if_zero) in ratios.items()
        }
        estimates["roc_auc"] = _area(scores, chance)
        return estimates


def _expected(chance: Scores, predicted: NDArray[np.float64]) -> ConfusionMatrix:
    tp, fn = float((chance * predicted).sum()), float((chance * (1.0 - predicted)).sum())
    answered = float(predicted.sum())
    return ConfusionMatrix(tp, answered - tp, fn, len(chance) - answered - fn)


def _over(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0.0 else 0.0


def _area(scores: Scores, chance: Scores) -> Estimate:
    """Expected AUC of the raw scores: weighted Mann-Whitney, ties halved."""
    n = len(scores)
    positives = float(chance.sum())
    negatives = n - positives
    if min(positives, negatives) <= 1e-9 * n:
        return Estimate("roc_auc", None, None, n)
    _, place = np.unique(scores, return_inverse=True)
    positive_at = np.bincount(place, weights=chance)
    negative_at = np.bincount(place, weights=1.0 - chance)
    negative_below = (np.cumsum(negative_at) - negative_at / 2.0)[place]
    positive_above = (positives - np.cumsum(positive_at) + positive_at / 2.0)[place]
    area = float((chance * negative_below).sum()) / (positives * negatives)
    # A row turned positive wins over the negatives below it and no longer loses to the positives
    # above it; both classes change in number.
    slope = (negative_below - area * negatives) - (positive_above - area * positives)
    variance = float((slope**2 * chance * (1.0 - chance)).sum()) / (positives * negatives) ** 2
    return Estimate("roc_auc", area, math.sqrt(variance), n)
