"""MLflow models of any flavour, by pyfunc: a data frame in, labels or numbers out."""

from collections.abc import Sequence
from typing import Any

import mlflow.pyfunc
import numpy as np

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import Frames, answers_of, places

_DTYPES = {
    "double": "float64", "float": "float32", "long": "int64", "integer": "int32",
    "boolean": "bool", "string": "object",
}  # fmt: skip
"""What MLflow's enforcement of a signature asks of a column."""


class MlflowModel:
    """A pyfunc. Its signature, if it has one, says names and types of the columns."""

    wants_values = False
    libraries: tuple[str, ...] = ("mlflow", "mlflow-skinny", "scikit-learn", "pandas", "numpy")

    def __init__(self, model: Any, artefact: Artefact) -> None:
        self._model = model
        schema = model.metadata.get_input_schema()
        columns = schema.input_names() if schema is not None and schema.has_input_names() else None
        if columns is None and not artefact.features:
            raise ArtefactError("neither a signature nor the input schema names the columns")
        self.features: int | None = None if columns is None else len(columns)
        names = columns or list(artefact.features)
        self._frames = Frames(names, places(columns, artefact.features))
        self._dtypes: dict[str, str] = {}
        if columns is not None and not schema.is_tensor_spec():
            kinds = {one.name: one.type.name for one in schema.inputs if hasattr(one.type, "name")}
            self._dtypes = {name: _DTYPES[kind] for name, kind in kinds.items() if kind in _DTYPES}
        self.classes: list[Any] | None = None
        if artefact.classes is not None:
            self.classes = list(artefact.classes)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        frame = self._frames.of(rows)
        wanted = {name: kind for name, kind in self._dtypes.items() if frame[name].dtype != kind}
        result = self._model.predict(frame.astype(wanted) if wanted else frame)
        if hasattr(result, "to_numpy"):
            result = result.to_numpy()
        values = np.asarray(result)
        if self.classes is not None and values.ndim == 1 and values.dtype.kind != "f":
            # Labels come without scores, whatever the manifest names.
            places_of = {one: place for place, one in enumerate(self.classes)}
            return Answers([places_of[one] for one in values.tolist()])
        return answers_of(values, self.classes)


def load(artefact: Artefact) -> MlflowModel:
    """Load the folder that `save_model` wrote; `entry` names one inside the artefact."""
    folder = artefact.path / artefact.entry if artefact.entry else artefact.path
    return MlflowModel(mlflow.pyfunc.load_model(str(folder)), artefact)
