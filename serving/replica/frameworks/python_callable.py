"""Any Python callable, named as `module:callable` in a file or a folder."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from serving.replica.frameworks import Answers, ArtefactError, Block


class CallableModel:
    """A callable that takes rows and gives outputs, or a pair of outputs and scores.

    Rows come as a block of float64, or, where the callable has an attribute `rows = "dicts"` or a
    feature is no number, as a list of dictionaries of named features.
    """

    libraries: tuple[str, ...] = ("numpy",)

    def __init__(self, function: Callable[[Any], Any], features: tuple[str, ...]) -> None:
        self._function = function
        self._names = features
        self.classes: list[Any] | None = None
        self.features: int | None = getattr(function, "features", None)
        self.wants_values = getattr(function, "rows", "block") == "dicts"
        if self.wants_values and not features:
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


def load(artefact: Path, entry: str | None, features: tuple[str, ...]) -> CallableModel:
    """Import the entry; a class is called once without arguments and its instance answers."""
    module_name, _, attribute = (entry or "").partition(":")
    if not module_name or not attribute:
        raise ArtefactError(f'expected an entry "module:callable", got {entry!r}')
    module = _import(artefact, module_name)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ArtefactError(f"{module_name} has no {attribute}")
        target = getattr(target, part)
    function = target() if inspect.isclass(target) else target
    if not callable(function):
        raise ArtefactError(f"{entry} is no callable: {type(function).__qualname__}")
    return CallableModel(function, features)


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
