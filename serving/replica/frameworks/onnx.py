"""ONNX models by onnxruntime: data that is computed with, no code of the artefact runs."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import answers_of, places

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(string)": np.object_,
    "tensor(float16)": np.float16,
}  # fmt: skip


class OnnxModel:
    """A session.

    One input of several columns takes the row as a matrix; several inputs each take the feature of
    their name. Of two outputs, a label and probabilities as classifiers are exported with, both
    are answered.
    """

    wants_values = False
    libraries: tuple[str, ...] = ("onnxruntime", "numpy")

    def __init__(self, session: Any, artefact: Artefact) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        self._types = [_type(one) for one in self._inputs]
        names = [one.name for one in self._inputs]
        self._single = len(names) == 1
        order = None if self._single else places(names, artefact.features)
        self._order = range(len(names)) if order is None else order
        width = self._inputs[0].shape[-1] if self._single else len(names)
        self.features: int | None = width if isinstance(width, int) else None
        self._outputs = [one.name for one in session.get_outputs()]
        self._given = artefact.classes
        self._scores: int | None = None
        self._maps = False
        self.classes = self._find_classes()

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        results = self._session.run(self._outputs, self._feeds(rows))
        if self._scores is None:
            return answers_of(results[0], self.classes)
        scores = results[self._scores]
        if self._maps:
            assert self.classes is not None
            scores = [[row[one] for one in self.classes] for row in scores]
        return answers_of(scores, self.classes)

    def _feeds(self, rows: Block | Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        if self._single:
            return {self._inputs[0].name: np.asarray(rows, dtype=self._types[0])}
        feeds = {}
        for one, kind, place in zip(self._inputs, self._types, self._order, strict=True):
            column = (
                rows[:, place] if isinstance(rows, np.ndarray) else [row[place] for row in rows]
            )
            values = np.asarray(column, dtype=kind)
            feeds[one.name] = values.reshape(-1, 1) if len(one.shape) == 2 else values
        return feeds

    def _find_classes(self) -> list[Any] | None:
        """Classes of a label beside probabilities: a map names them, a matrix numbers them.

        A classifier answers a row of zeros to be asked; a model that cannot is one of values.
        """
        outputs = self._session.get_outputs()
        maps = [n for n, one in enumerate(outputs) if one.type.startswith("seq(map")]
        if maps:
            self._scores, self._maps = maps[0], True
            width = self.features or len(self._inputs)
            zeros: Any = np.zeros((1, width))
            if np.object_ in self._types:
                zeros = [["" if kind is np.object_ else 0 for kind in self._types]]
            return list(self._session.run([self._outputs[maps[0]]], self._feeds(zeros))[0][0])
        whole = ("tensor(int64)", "tensor(string)")
        if len(outputs) == 2 and outputs[0].type in whole and "float" in outputs[1].type:
            self._scores = 1
            width = outputs[1].shape[-1]
            if self._given is not None:
                return list(self._given)
            if isinstance(width, int) and outputs[0].type == "tensor(int64)":
                return list(range(max(2, width)))
            raise ArtefactError(
                "the model has scores without names: state the classes in the manifest, in the "
                "order of the scores, or export it with a map of probabilities (zipmap)"
            )
        return None if self._given is None else list(self._given)


def _type(one: Any) -> Any:
    if one.type not in _TYPES:
        raise ArtefactError(f"expected inputs of numbers or text, {one.name} is {one.type}")
    return _TYPES[one.type]


def load(artefact: Artefact) -> OnnxModel:
    """Load a model; it computes on as many threads as the launcher gives."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(artefact.path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # Its errors share no class but Exception; each says what it found in one line.
        raise ArtefactError(f"expected a model that onnxruntime loads: {error}") from error
    return OnnxModel(session, artefact)
