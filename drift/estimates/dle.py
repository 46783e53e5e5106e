"""Direct loss estimation (DLE): a model of the model's loss."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.estimates.base import Estimate

LEAST_ROWS = 100
"""Labelled reference rows below which nothing is learnt about the loss."""

Table = NDArray[np.float64]


class DLE:
    """Mean loss without labels: boosted trees learn from the reference which inputs cost how much.

    Parameters
    ----------
    categorical
        Columns of the features that hold categories, coded as whole numbers from 0 to 254.
    lower
        Least possible loss; an estimate below it is raised to it.

    Notes
    -----
    What it cannot see: concept drift, entirely. If the same inputs become harder the estimate does
    not move. Outside the reference's range trees answer with the nearest they know. The loss of
    rows the monitored model was trained on is too small: fit on others.

    References
    ----------
    NannyML documentation, "Direct Loss Estimation". Trees: G. Ke et al., "LightGBM", Adv. Neural
    Inf. Process. Syst. 30, 2017.
    """

    guaranteed: ClassVar[bool] = False
    assumption: ClassVar[str] = (
        "The loss depends on the inputs and the answer as in the reference: no concept drift."
    )

    def __init__(self, *, categorical: Sequence[int] = (), lower: float = 0.0) -> None:
        self._categorical = tuple(categorical)
        self._lower = lower
        self._columns = 0
        self._model: HistGradientBoostingRegressor | None = None

    def fit(self, features: Table, predicted: Table, losses: Table, rng: Generator) -> None:
        """Learn from a reference with labels what a row costs.

        Parameters
        ----------
        features : shape (n, columns)
            NaN is a missing value; an infinity is refused.
        predicted : shape (n,)
            What the monitored model answered.
        losses : shape (n,)
            What each answer cost, such as |label - answer|, in the loss's unit.
        rng
            Seeds the trees; the same generator gives the same model.

        Raises
        ------
        InsufficientDataError
            If there are fewer than `LEAST_ROWS` rows.
        InvalidObservationError
            If shapes do not fit, a loss is not finite or below `lower`, or an input is infinite.
        InvalidSettingError
            If a categorical column does not exist.
        """
        rows = _checked_rows(features, predicted)
        if len(rows) < LEAST_ROWS:
            raise InsufficientDataError("reference", LEAST_ROWS, len(rows))
        losses = np.asarray(losses, dtype=np.float64)
        if losses.shape != (len(rows),):
            raise InvalidObservationError("losses", f"shape ({len(rows)},)", f"{losses.shape}")
        good = np.isfinite(losses) & (losses >= self._lower)
        if not good.all():
            index = int(np.argmin(good))
            raise InvalidObservationError(
                "loss", f"a number of at least {self._lower:g}", float(losses[index]), index
            )
        for column in self._categorical:
            if not 0 <= column < rows.shape[1] - 1:
                raise InvalidSettingError(
                    "categorical", f"columns below {rows.shape[1] - 1}", column
                )
        model = HistGradientBoostingRegressor(
            max_iter=100,
            learning_rate=0.1,
            max_leaf_nodes=31,
            min_samples_leaf=20,
            early_stopping=False,
            categorical_features=list(self._categorical) or None,
            random_state=int(rng.integers(2**31)),
        )
        model.fit(rows, losses)
        self._model, self._columns = model, rows.shape[1]

    def row_losses(self, features: Table, predicted: Table) -> Table:
        """Estimated loss of each row, in the loss's unit.

        Raises
        ------
        InsufficientDataError
            If `fit` has not been called, or there is no row.
        InvalidObservationError
            If shapes do not fit those of the reference, or an input is infinite.
        """
        if self._model is None:
            raise InsufficientDataError("reference", LEAST_ROWS, 0)
        rows = _checked_rows(features, predicted)
        if rows.shape[1] != self._columns:
            raise InvalidObservationError(
                "features", f"{self._columns - 1} columns", rows.shape[1] - 1
            )
        losses = np.asarray(self._model.predict(rows), dtype=np.float64)
        return np.maximum(losses, self._lower)

    def estimate(self, features: Table, predicted: Table) -> Estimate:
        """Estimated mean loss of one window; the root of it is the RMSE for squared losses.

        Parameters
        ----------
        features : shape (n, columns), n at least 1
            As in `fit`.
        predicted : shape (n,)
            What the monitored model answered.

        Notes
        -----
        The standard error is that of the mean of the estimated losses: it holds the differences
        between rows, not those between a row's true loss and its estimate.
        """
        losses = self.row_losses(features, predicted)
        n = len(losses)
        error = float(losses.std()) / math.sqrt(n) if n > 1 else None
        return Estimate("mean-loss", float(losses.mean()), error, n)


def _checked_rows(features: Table, predicted: Table) -> Table:
    features = np.asarray(features, dtype=np.float64)
    predicted = np.asarray(predicted, dtype=np.float64)
    if features.ndim != 2 or predicted.shape != features.shape[:1]:
        raise InvalidObservationError(
            "features and predicted",
            "shapes (n, columns) and (n,)",
            f"{features.shape} and {predicted.shape}",
        )
    if not len(features):
        raise InsufficientDataError("rows", 1, 0)
    rows = np.column_stack([features, predicted])
    if np.isinf(rows).any():
        index = int(np.argmax(np.isinf(rows).any(axis=1)))
        raise InvalidObservationError("row", "no infinity", rows[index].tolist(), index)
    return rows
