"""How artefacts of each framework are loaded and asked; one file each."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from serving.replica.framework_modules import MODULES

Block = npt.NDArray[np.float64]
"""Rows by features; null as NaN."""


class ArtefactError(Exception):
    """The artefact is not what its framework needs."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """What is to be loaded."""

    path: Path
    entry: str | None = None
    """The manifest's entry."""
    features: tuple[str, ...] = ()
    """Names of the features in a row's order."""
    classes: tuple[Any, ...] | None = None
    """The manifest's classes in the order of the scores, for models that know no names."""


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
    """Distributions whose releases matter to the artefact; those not installed are passed over."""

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""


def load(framework: str, artefact: Artefact) -> Model:
    """Load an artefact.

    Raises
    ------
    ArtefactError
        If the framework is unknown, its package is missing, or the artefact does not fit it.
    """
    if framework not in MODULES:
        raise ArtefactError(f"expected framework {', '.join(MODULES)}, got {framework!r}")
    # Imported only here: an environment holds the packages of its own framework alone.
    try:
        module = importlib.import_module(f"{__name__}.{MODULES[framework]}")
        model: Model = module.load(artefact)
    except ModuleNotFoundError as error:
        raise ArtefactError(
            f"the artefact needs the package {error.name}, which is not in this environment: state "
            "it in the requirements of the version"
        ) from error
    return model
