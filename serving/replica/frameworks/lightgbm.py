"""LightGBM boosters, stored as text by `save_model`."""

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import Frames, answers_of, numbers, places

PROBABILITIES = ("binary", "multiclass", "multiclassova", "cross_entropy")
"""Objectives whose predictions are probabilities of classes."""


class LightgbmModel:
    """A booster; null is missing to it."""

    wants_values = False
    libraries: tuple[str, ...] = ("lightgbm", "numpy")

    def __init__(self, booster: Any, artefact: Artefact) -> None:
        self._booster = booster
        self.features: int | None = int(booster.num_feature())
        columns = list(booster.feature_name())
        # Without names it makes up Column_0, Column_1, …: places are all that it knows.
        made_up = columns == [f"Column_{n}" for n in range(len(columns))]
        order = places(None if made_up else columns, artefact.features)
        self._order = order
        categories = booster.pandas_categorical
        self._frames = Frames(columns, order) if categories else None
        self._categories = categories or []
        self.classes = _classes(booster, artefact)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        if self._frames is None:
            table: Any = np.ascontiguousarray(numbers(rows, self._order))
        else:
            table = self._categorical(self._frames.of(rows))
        return answers_of(self._booster.predict(table), self.classes)

    def _categorical(self, frame: Any) -> Any:
        """Text columns are those that were categories in training, in the same order."""
        text = [name for name in frame.columns if frame[name].dtype.kind not in "bif"]
        if len(text) != len(self._categories):
            raise ValueError(
                f"expected {len(self._categories)} columns of categories, got {len(text)}"
            )
        return frame.astype(dict.fromkeys(text, "category"))


def _classes(booster: Any, artefact: Artefact) -> list[Any] | None:
    objective = str(booster.dump_model(num_iteration=1).get("objective", "")).split(" ")[0]
    if objective not in PROBABILITIES:
        return None
    if artefact.classes is not None:
        return list(artefact.classes)
    return list(range(max(2, int(booster.num_model_per_iteration()))))


def load(artefact: Artefact) -> LightgbmModel:
    """Load what `save_model` wrote."""
    try:
        booster = lightgbm.Booster(model_file=str(artefact.path))
    except (lightgbm.basic.LightGBMError, OSError) as error:
        raise ArtefactError(f"expected what Booster.save_model wrote: {error}") from error
    return LightgbmModel(booster, artefact)
