"""Any Python callable: `module:callable` in a file, a folder or an installed package, or a pickle.

A pickle is best made by cloudpickle, which takes functions and classes along that no module here
has. Python's byte code differs between minor releases: state the one that made it.
"""

import importlib
import importlib.util
import inspect
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block

PICKLE = b"\x80"
"""First byte of a pickle of protocol 2 or later; no source begins with it."""


class CallableModel:
    """A callable that takes rows and gives outputs, or a pair of outputs and scores.

    Rows come as a block of float64, or, where the callable has an attribute `rows = "dicts"` or a
    feature is no number, as a list of dictionaries of named features.
    """

    libraries: tuple[str, ...] = ("numpy", "cloudpickle")

    def __init__(self, function: Callable[[Any], Any], artefact: Artefact) -> None:
        self._function = function
        self._names = artefact.features
        self.classes: list[Any] | None = None
        self.features: int | None = getattr(function, "features", None)
        self.wants_values = getattr(function, "rows", "block") == "dicts"
        if self.wants_values and not artefact.features:
            raise ArtefactError("the callable takes dictionaries, but no features were named")

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        given: Any = rows
        if not isinstance(rows, np.ndarray):
            given = [dict(zip(self._names, row, strict=True)) for row in rows]
        result = self._function(given)
        outputs, scores = result if isinstance(result, tuple) else (result, None)
        if not isinstance(outputs, np.ndarray):
            outputs = list(outputs)
        if scores is not None:
            scores = np.ascontiguousarray(scores, dtype=np.float64)
        return Answers(outputs, scores)


def load(artefact: Artefact) -> CallableModel:
    """Import the entry, or unpickle; a class is called once and its instance answers."""
    if artefact.entry is None and _is_pickle(artefact.path):
        target = _unpickled(artefact.path)
    else:
        target = _imported(artefact.path, artefact.entry)
    function = target() if inspect.isclass(target) else target
    if not callable(function):
        raise ArtefactError(
            f"{artefact.entry or 'the pickle'} is no callable: {type(function).__qualname__}"
        )
    return CallableModel(function, artefact)


def _is_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == PICKLE


def _unpickled(path: Path) -> Any:
    # Whoever may deploy may run code: docs/security.md.
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301


def _imported(path: Path, entry: str | None) -> Any:
    module_name, _, attribute = (entry or "").partition(":")
    if not module_name or not attribute:
        raise ArtefactError(f'expected an entry "module:callable", got {entry!r}')
    target: Any = _import(path, module_name)
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ArtefactError(f"{module_name} has no {attribute}")
        target = getattr(target, part)
    return target


def _import(artefact: Path, name: str) -> ModuleType:
    if artefact.is_dir():
        sys.path.insert(0, str(artefact))
        return importlib.import_module(name)
    # The stored copy of a single file has any name; the module gets the one the entry says.
    loader = importlib.machinery.SourceFileLoader(name, str(artefact))
    spec = importlib.util.spec_from_file_location(name, artefact, loader=loader)
    if spec is None or not artefact.is_file():
        raise ArtefactError(f"expected a Python file or a folder, got {artefact}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
