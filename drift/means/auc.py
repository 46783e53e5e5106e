"""The area under the ROC curve, as a mean: each positive against negatives used only once."""

import numpy as np
from numpy.typing import NDArray

from drift.base import Settings, Values, checked_count, checked_values
from drift.checkpoint import pack, unpack
from drift.errors import InvalidObservationError

_MOST_WAITING = 64
"""Groups of negatives, and positives, kept until the other kind comes; older ones are dropped."""


class AucPairs:
    """Turns scores and labels into shares of negatives that were scored above a positive.

    The expected share is 1 - AUC: watch it with `drift.means.bounded.BoundedMean` and the limit
    1 - (least accepted AUC). No score is used twice, so the shares are new evidence each.

    Parameters
    ----------
    negatives
        Negatives that each positive is compared with; about 1 / prevalence - 1 uses all rows. At a
        prevalence of .1, nine find a fall 2.4 times as soon as one.
    """

    name = "auc-pairs"

    def __init__(self, negatives: int) -> None:
        self.negatives = checked_count("negatives", negatives, least=1)
        self._negative: list[float] = []
        self._positive: list[float] = []

    @property
    def settings(self) -> Settings:
        """What the pairs were built with."""
        return {"negatives": self.negatives}

    def push(self, scores: Values, labels: Values) -> tuple[Values, NDArray[np.int64]]:
        """Add rows; all, or none if one is refused.

        Parameters
        ----------
        scores, labels : shape (n,)
            Score of the positive class, any finite number; 1 for a positive, 0 for a negative.

        Returns
        -------
        shares : shape (pairs,)
            Share of negatives above each positive, equal scores counted half.
        last_rows : shape (pairs,)
            Index of the row that completed each.
        """
        largest = float(np.finfo(np.float64).max)
        scores = checked_values(scores, lower=-largest, upper=largest)
        labels = checked_values(labels, lower=0.0, upper=1.0)
        if len(labels) != len(scores):
            raise InvalidObservationError("labels", f"{len(scores)} of them", len(labels))
        good = (labels == 0.0) | (labels == 1.0)
        if not good.all():
            index = int(np.argmin(good))
            raise InvalidObservationError("label", "0 or 1", float(labels[index]), index)
        shares, last_rows = [], []
        for row, (score, label) in enumerate(zip(scores.tolist(), labels.tolist(), strict=True)):
            (self._positive if label else self._negative).append(score)
            # Whatever is dropped is dropped by its age, never by its score.
            del self._positive[:-_MOST_WAITING]
            del self._negative[: -_MOST_WAITING * self.negatives]
            if self._positive and len(self._negative) >= self.negatives:
                positive = self._positive.pop(0)
                others = self._negative[: self.negatives]
                del self._negative[: self.negatives]
                above = sum((other > positive) + 0.5 * (other == positive) for other in others)
                shares.append(above / self.negatives)
                last_rows.append(row)
        return np.array(shares), np.array(last_rows, dtype=np.int64)

    def to_bytes(self) -> bytes:
        """Save the rows that wait for their pair."""
        waiting = [np.array(self._negative), np.array(self._positive)]
        return pack(self.name, self.settings, waiting)

    def restore(self, data: bytes) -> None:
        """Take over waiting rows; raises `CheckpointError` if they are not those of these pairs."""
        negative, positive = unpack(self.name, self.settings, data)
        self._negative, self._positive = negative.tolist(), positive.tolist()
