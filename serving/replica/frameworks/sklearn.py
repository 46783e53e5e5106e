"""scikit-learn estimators and pipelines, stored by joblib."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from serving.replica.frameworks import Answers, ArtefactError, Block


class SklearnModel:
    """An estimator. A classifier with probabilities answers the class with the highest one."""

    libraries: tuple[str, ...] = ("scikit-learn", "numpy", "joblib")

    def __init__(self, estimator: Any, features: tuple[str, ...]) -> None:
        self._estimator = estimator
        self._probabilities = hasattr(estimator, "predict_proba")
        classes = getattr(estimator, "classes_", None)
        self.classes: list[Any] | None = (
            None if classes is None or not self._probabilities else np.asarray(classes).tolist()
        )
        count = getattr(estimator, "n_features_in_", None)
        self.features: int | None = None if count is None else int(count)
        names = getattr(estimator, "feature_names_in_", None)
        # Fitted on a data frame, an estimator may pick columns by name and takes frames alone.
        self._columns = None if names is None else [str(name) for name in names]
        self._frame = None if names is None else _data_frame()
        self._order = _order(self._columns, features)
        self.wants_values = False

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        table = self._table(rows)
        if not self._probabilities:
            return Answers(np.asarray(self._estimator.predict(table)))
        scores = np.ascontiguousarray(self._estimator.predict_proba(table), dtype=np.float64)
        return Answers(scores.argmax(axis=1), scores)

    def _table(self, rows: Block | Sequence[Any]) -> Any:
        if self._columns is None or self._frame is None:
            return rows if isinstance(rows, np.ndarray) else np.asarray(rows, dtype=object)
        if isinstance(rows, np.ndarray):
            ordered = rows if self._order is None else rows[:, self._order]
            return self._frame(ordered, columns=self._columns)
        order = range(len(self._columns)) if self._order is None else self._order
        return self._frame([[row[i] for i in order] for row in rows], columns=self._columns)


def _data_frame() -> Any:
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError as error:
        raise ArtefactError(
            "the estimator was fitted on a data frame, and pandas is not in this environment"
        ) from error
    return pandas.DataFrame


def _order(columns: list[str] | None, features: tuple[str, ...]) -> list[int] | None:
    """Place of each column that the estimator knows in the application's row."""
    if columns is None or not features:
        return None
    absent = sorted(set(columns) - set(features))
    if absent:
        raise ArtefactError(
            f"the estimator was fitted on columns that the input schema lacks: {', '.join(absent)}"
        )
    return [features.index(name) for name in columns]


def load(artefact: Path, entry: str | None, features: tuple[str, ...]) -> SklearnModel:
    """Load a joblib file; `entry` names a file inside a folder."""
    path = artefact / entry if artefact.is_dir() and entry else artefact
    if not path.is_file():
        raise ArtefactError(f"expected a joblib file, got {path}")
    estimator = joblib.load(path)
    if not hasattr(estimator, "predict"):
        raise ArtefactError(
            f"expected an estimator with predict, got {type(estimator).__qualname__}"
        )
    return SklearnModel(estimator, features)
