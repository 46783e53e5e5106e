"""XGBoost boosters, stored as JSON or UBJSON by `save_model`.

A booster in its scikit-learn form that was pickled is an estimator like any other: framework
sklearn.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import Frames, answers_of, numbers, places

PROBABILITIES = ("binary:logistic", "multi:softprob")
"""Objectives whose predictions are probabilities of classes."""


class XgboostModel:
    """A booster; null is missing to it."""

    wants_values = False
    libraries: tuple[str, ...] = ("xgboost", "xgboost-cpu", "numpy")

    def __init__(self, booster: Any, artefact: Artefact) -> None:
        self._booster = booster
        self.features: int | None = int(booster.num_features())
        columns = booster.feature_names
        order = places(columns, artefact.features)
        self._order = order
        names = columns or artefact.features or [f"f{n}" for n in range(self.features)]
        self._names = names
        types = booster.feature_types or []
        self._frames = Frames(names, order) if "c" in types else None
        self._categorical = [name for name, kind in zip(names, types, strict=False) if kind == "c"]
        self.classes = _classes(booster, artefact)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        if self._frames is not None:
            frame = self._frames.of(rows)
            frame = frame.astype(dict.fromkeys(self._categorical, "category"))
            matrix = xgboost.DMatrix(frame, enable_categorical=True)
            return answers_of(self._booster.predict(matrix), self.classes)
        block = np.ascontiguousarray(numbers(rows, self._order))
        return answers_of(
            self._booster.inplace_predict(block, validate_features=False), self.classes
        )


def _classes(booster: Any, artefact: Artefact) -> list[Any] | None:
    learner = json.loads(booster.save_config())["learner"]
    if learner["objective"]["name"] not in PROBABILITIES:
        return None
    if artefact.classes is not None:
        return list(artefact.classes)
    return list(range(max(2, int(learner["learner_model_param"]["num_class"]))))


def load(artefact: Artefact) -> XgboostModel:
    """Load what `save_model` wrote; which of its formats it is, its first bytes tell."""
    booster = xgboost.Booster()
    data = artefact.path.read_bytes() if artefact.path.is_file() else b""
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtefactError(f"expected what Booster.save_model wrote: {reason}") from error
    return XgboostModel(booster, artefact)
