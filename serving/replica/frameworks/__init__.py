"""How artefacts of each framework are loaded and asked; one file each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float64]
"""Rows by features; null as NaN."""


class ArtefactError(Exception):
    """The artefact is not what its framework needs."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered to a batch."""

    outputs: npt.NDArray[Any] | list[Any]
    """One a row; with `Model.classes` given, places in them."""
    scores: Block | None = None
    """Rows by classes, if the model gives any."""


class Model(Protocol):
    """A loaded artefact."""

    classes: list[Any] | None
    """Values that `outputs` point into; none where outputs are the values themselves."""
    features: int | None
    """Features that a row must have, if the artefact knows."""
    wants_values: bool
    """Whether `predict` takes lists of plain values, as mixed rows are, rather than a block."""
    libraries: tuple[str, ...]
    """Distributions whose versions matter to the artefact."""

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""


Load = Callable[[Path, str | None, tuple[str, ...]], Model]
"""From the artefact's path, the manifest's entry and the names of the features."""


def load(framework: str, artefact: Path, entry: str | None, features: tuple[str, ...]) -> Model:
    """Load an artefact.

    Raises
    ------
    ArtefactError
        If the framework is unknown or the artefact does not fit it.
    """
    # Imported only here: an environment holds the packages of its own framework alone.
    if framework == "sklearn":
        from serving.replica.frameworks.sklearn import load as load_sklearn

        return load_sklearn(artefact, entry, features)
    if framework == "python":
        from serving.replica.frameworks.python_callable import load as load_callable

        return load_callable(artefact, entry, features)
    raise ArtefactError(f"expected framework sklearn or python, got {framework!r}")
