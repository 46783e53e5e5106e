"""river's online models, stored by pickle.

A replica never learns: it answers with one state of the model, so that a version is one and the
same as long as it is there. What feedback teaches becomes the next version (`serving.online`).
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import named


class RiverModel:
    """One state of an online model; a classifier's classes are those that it has met."""

    wants_values = True
    libraries: tuple[str, ...] = ("river", "numpy")

    def __init__(self, model: Any, artefact: Artefact) -> None:
        if not artefact.features:
            raise ArtefactError("a model of river takes named features, and none were named")
        self._model = model
        self._names = artefact.features
        self.features: int | None = None
        self.classes: list[Any] | None = None
        if artefact.classes is not None:
            self.classes = list(artefact.classes)
        elif hasattr(model, "predict_proba_one"):
            self.classes = known_classes(model, artefact.features)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch, row by row as the model takes them."""
        asked = named(rows, self._names)
        if self.classes is None:
            return Answers([self._model.predict_one(row) for row in asked])
        scores = np.zeros((len(asked), len(self.classes)))
        for number, row in enumerate(asked):
            found = self._model.predict_proba_one(row)
            scores[number] = [found.get(one, 0.0) for one in self.classes]
        return Answers(scores.argmax(axis=1), scores)


def known_classes(model: Any, features: Sequence[str]) -> list[Any] | None:
    """Classes that a classifier gives probabilities of; none where it gives none as yet."""
    try:
        found = model.predict_proba_one(dict.fromkeys(features, 0.0))
    except Exception:
        # Not every model can answer a row of zeros; its labels are then all that is known.
        return None
    return sorted(found, key=lambda one: (str(type(one)), one)) or None


def read(path: Path) -> Any:
    """The model in a pickle."""
    # Whoever may deploy may run code: docs/security.md.
    with path.open("rb") as file:
        model = pickle.load(file)  # noqa: S301
    if not hasattr(model, "predict_one") or not hasattr(model, "learn_one"):
        raise ArtefactError(f"expected an online model of river, got {type(model).__qualname__}")
    return model


def load(artefact: Artefact) -> RiverModel:
    """Load one state."""
    return RiverModel(read(artefact.path), artefact)
