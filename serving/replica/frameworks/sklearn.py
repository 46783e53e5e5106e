"""scikit-learn estimators and pipelines, stored by joblib or by skops.

A joblib file is a pickle and runs what it brings. A skops file is data: what skops does not know to
be harmless is refused by name, unless it is a class of scikit-learn. Functions are never taken from
a file's word: a step that calls `eval` is a program, whichever package the function is of.
"""

import importlib
import inspect
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from serving.replica.frameworks import (
    Answers,
    Artefact,
    ArtefactError,
    Block,
    linear,
    plain_arrays,
)
from serving.replica.frameworks.rows import Frames, places

TRUSTED_PACKAGE = "sklearn"
"""Whose classes are loaded from a skops file, beyond those that skops knows."""


class SklearnModel:
    """An estimator. A classifier with probabilities answers the class with the highest one."""

    libraries: tuple[str, ...] = ("scikit-learn", "numpy", "joblib")

    def __init__(self, estimator: Any, features: tuple[str, ...]) -> None:
        self._estimator = estimator
        classes = getattr(estimator, "classes_", None)
        # Of several outputs at once there is one list of classes each.
        self._probabilities = hasattr(estimator, "predict_proba") and not isinstance(classes, list)
        self.classes: list[Any] | None = (
            None if classes is None or not self._probabilities else np.asarray(classes).tolist()
        )
        count = getattr(estimator, "n_features_in_", None)
        self.features: int | None = None if count is None else int(count)
        names = getattr(estimator, "feature_names_in_", None)
        # Fitted on a data frame, an estimator may pick columns by name and takes frames alone.
        columns = None if names is None else [str(name) for name in names]
        order = places(columns, features)
        self._frames = None if columns is None else Frames(columns, order)
        self.wants_values = False
        self._direct = linear.direct(estimator, self._ask, order)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        direct = self._direct
        # What is not finite, the estimator refuses in its own words.
        if direct is not None and isinstance(rows, np.ndarray) and np.isfinite(rows).all():
            found = direct(rows)
        else:
            found = self._ask(rows)
        return Answers(found.argmax(axis=1), found) if self._probabilities else Answers(found)

    def _ask(self, rows: Block | Sequence[Any]) -> Any:
        """Outputs by the estimator itself, or scores where it has probabilities."""
        table = self._table(rows)
        if not self._probabilities:
            return np.asarray(self._estimator.predict(table))
        return np.ascontiguousarray(self._estimator.predict_proba(table), dtype=np.float64)

    def _table(self, rows: Block | Sequence[Any]) -> Any:
        if self._frames is not None:
            return self._frames.of(rows)
        return rows if isinstance(rows, np.ndarray) else np.asarray(rows, dtype=object)


def load(artefact: Artefact) -> SklearnModel:
    """Load a joblib or skops file; `entry` names a file inside a folder."""
    path = artefact.path
    if path.is_dir() and artefact.entry:
        path = path / artefact.entry
    if not path.is_file():
        raise ArtefactError(f"expected a joblib or skops file, got {path}")
    estimator = _skops(path) if zipfile.is_zipfile(path) else joblib.load(path)
    plain_arrays.spare()
    if not hasattr(estimator, "predict"):
        raise ArtefactError(
            f"expected an estimator with predict, got {type(estimator).__qualname__}"
        )
    return SklearnModel(estimator, artefact.features)


def _skops(path: Path) -> Any:
    try:
        io: Any = importlib.import_module("skops.io")
    except ImportError as error:
        raise ArtefactError(
            "the artefact is a skops file, and skops is not in this environment"
        ) from error
    unknown = io.get_untrusted_types(file=path)
    strange = [one for one in unknown if not _is_class_of_sklearn(one)]
    if strange:
        raise ArtefactError(
            f"the skops file holds types that may run code: {', '.join(strange)}; deploy it as a "
            "joblib file if you trust them"
        )
    return io.load(path, trusted=unknown)


def _is_class_of_sklearn(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module.partition(".")[0] != TRUSTED_PACKAGE:
        return False
    try:
        return inspect.isclass(getattr(importlib.import_module(module), attribute, None))
    except ImportError:
        return False
