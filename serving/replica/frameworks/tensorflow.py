"""TensorFlow: a SavedModel's signature, or a model of Keras.

Both are called as one traced function of open length: `Model.predict` would set up its loop of
callbacks for each batch, which costs a hundred times as much for one row.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import answers_of, places

DEFAULT_SIGNATURE = "serving_default"


class TensorflowModel:
    """A function of tensors.

    One input of several columns takes the row as a matrix; several inputs each take the feature of
    their name.
    """

    wants_values = False
    libraries: tuple[str, ...] = ("tensorflow", "tensorflow-cpu", "keras", "numpy")

    def __init__(
        self, call: Callable[[dict[str, Any]], Any], inputs: Mapping[str, Any], artefact: Artefact
    ) -> None:
        self._call = call
        self._inputs = inputs
        names = list(inputs)
        self._single = len(names) == 1
        order = None if self._single else places(names, artefact.features)
        self._order = range(len(names)) if order is None else order
        shape = inputs[names[0]].shape
        width = shape[-1] if self._single and len(shape) > 1 else len(names)
        self.features: int | None = None if width is None else int(width)
        self.classes = None if artefact.classes is None else list(artefact.classes)
        # Traced and compiled now, not at the first request.
        zeros = np.zeros((1, self.features or max(1, len(artefact.features))))
        if not any(one.dtype == tf.string for one in inputs.values()):
            self.predict(zeros)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        result = self._call(self._tensors(rows))
        if isinstance(result, Mapping):
            result = next(iter(result.values()))
        elif isinstance(result, list | tuple):
            result = result[0]
        return answers_of(result.numpy(), self.classes)

    def _tensors(self, rows: Block | Sequence[Any]) -> dict[str, Any]:
        if self._single:
            name, spec = next(iter(self._inputs.items()))
            return {name: tf.convert_to_tensor(np.asarray(rows, dtype=spec.dtype.as_numpy_dtype))}
        tensors = {}
        for (name, spec), place in zip(self._inputs.items(), self._order, strict=True):
            column = [row[place] for row in rows]
            values = np.asarray(column, dtype=spec.dtype.as_numpy_dtype)
            shaped = values if len(spec.shape) == 1 else values.reshape(-1, 1)
            tensors[name] = tf.convert_to_tensor(shaped)
        return tensors


def load(artefact: Artefact) -> TensorflowModel:
    """Load a SavedModel, of which `entry` may name the signature, or a .keras file."""
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return _saved_model(artefact) if artefact.path.is_dir() else _keras(artefact)


def _saved_model(artefact: Artefact) -> TensorflowModel:
    loaded = tf.saved_model.load(str(artefact.path))
    name = artefact.entry or DEFAULT_SIGNATURE
    if name not in loaded.signatures:
        there = ", ".join(loaded.signatures) or "none"
        raise ArtefactError(f"the SavedModel has no signature {name}; it has {there}")
    function = loaded.signatures[name]
    _, inputs = function.structured_input_signature

    def call(tensors: dict[str, Any], _kept: Any = loaded) -> Any:
        # The signature holds its variables weakly: the whole stays with it.
        return function(**tensors)

    return TensorflowModel(call, inputs, artefact)


def _keras(artefact: Artefact) -> TensorflowModel:
    import keras

    with tempfile.TemporaryDirectory() as folder:
        # Keras goes by the name's end, which a stored artefact does not have.
        path = Path(folder) / "model.keras"
        try:
            path.symlink_to(artefact.path.resolve())
        except OSError:
            shutil.copy(artefact.path, path)
        model = keras.models.load_model(path, compile=False)
    inputs = {
        tensor.name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, tensor.name)
        for tensor in model.inputs
    }

    @tf.function(input_signature=[inputs])  # type: ignore[untyped-decorator]
    def traced(tensors: dict[str, Any]) -> Any:
        values = [tensors[name] for name in inputs]
        return model(values[0] if len(values) == 1 else values, training=False)

    return TensorflowModel(traced, inputs, artefact)
