"""Spark MLlib: a saved PipelineModel, or one fitted model, in one local session for all requests.

A pipeline's `transform` plans and runs a job: hundreds of milliseconds whatever the number of rows.
So the stages before the last are computed here, and the last one is asked row by row with
`predict`, about a millisecond each. The stages that can be are named in `STAGES`; a pipeline with
another one is refused with its name.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)

import numpy as np
import numpy.typing as npt
from pyspark.ml import PipelineModel, feature
from pyspark.ml.common import _java2py
from pyspark.ml.linalg import Vectors
from pyspark.ml.util import DefaultParamsReader
from pyspark.serializers import CPickleSerializer
from pyspark.sql import SparkSession

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import named

Columns = dict[str, npt.NDArray[Any]]
"""Columns of a batch by name: rows, or rows by places of a vector."""
Stage = Callable[[Columns], None]
"""Adds its output to the columns."""


def _assembler(stage: Any) -> Stage:
    names, output = stage.getInputCols(), stage.getOutputCol()

    def run(columns: Columns) -> None:
        parts = [np.asarray(columns[name], dtype=np.float64) for name in names]
        columns[output] = np.column_stack(parts)

    return run


def _scaler(stage: Any) -> Stage:
    mean = stage.mean.toArray() if stage.getWithMean() else 0.0
    spread = stage.std.toArray()
    # What never varied stays as it is, 0, as Spark has it.
    factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread != 0)
    factor = factor if stage.getWithStd() else np.ones_like(spread)
    source, output = stage.getInputCol(), stage.getOutputCol()

    def run(columns: Columns) -> None:
        columns[output] = (columns[source] - mean) * factor

    return run


def _min_max(stage: Any) -> Stage:
    low, high = stage.originalMin.toArray(), stage.originalMax.toArray()
    span = high - low
    least, most = stage.getMin(), stage.getMax()
    source, output = stage.getInputCol(), stage.getOutputCol()

    def run(columns: Columns) -> None:
        values = columns[source]
        share = np.divide(values - low, span, out=np.full_like(values, 0.5), where=span != 0)
        columns[output] = share * (most - least) + least

    return run


def _indexer(stage: Any) -> Stage:
    places = {label: float(place) for place, label in enumerate(stage.labels)}
    keeps = stage.getHandleInvalid() == "keep"
    source, output = stage.getInputCol(), stage.getOutputCol()

    def run(columns: Columns) -> None:
        if source not in columns:
            # The label's own, which no request has.
            return
        found = [
            places.get(str(value), len(places) if keeps else None) for value in columns[source]
        ]
        if None in found:
            unknown = columns[source][found.index(None)]
            raise ValueError(f"{source} is {unknown!r}, which the model has never met")
        columns[output] = np.asarray(found, dtype=np.float64)

    return run


STAGES: dict[str, Callable[[Any], Stage]] = {
    "VectorAssembler": _assembler,
    "StandardScalerModel": _scaler,
    "MinMaxScalerModel": _min_max,
    "StringIndexerModel": _indexer,
}
"""Stages before the model, by class."""
BEHIND = ("IndexToString",)
"""Stages behind the model that only name its classes, as the label's indexer does already."""


class SparkModel:
    """Stages, and a predictor behind them."""

    wants_values = True
    features: int | None = None
    libraries: tuple[str, ...] = ("pyspark", "numpy")

    def __init__(self, session: Any, stages: Sequence[Any], artefact: Artefact) -> None:
        self._session = session
        self._names = artefact.features
        *before, self._predictor = _up_to_predictor(stages)
        self._stages = [STAGES[type(stage).__name__](stage) for stage in before]
        self._vector = self._predictor.getFeaturesCol()
        self._classifies = hasattr(self._predictor, "predictProbability")
        self.classes: list[Any] | None = None
        if self._classifies:
            self.classes = _classes(before, self._predictor, artefact)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch: all rows cross to the JVM at once, and are answered one by one."""
        records = named(rows, self._names)
        columns = {name: np.asarray([row[name] for row in records]) for name in self._names}
        for stage in self._stages:
            stage(columns)
        vectors = [Vectors.dense(row) for row in np.atleast_2d(columns[self._vector])]
        context = self._session.sparkContext
        packed = bytearray(CPickleSerializer().dumps(vectors))
        asked = context._jvm.org.apache.spark.ml.python.MLSerDe.loads(packed)
        model = self._predictor._java_obj
        if not self._classifies:
            found = [model.predict(asked[place]) for place in range(len(vectors))]
            return Answers(np.asarray(found, dtype=np.float64))
        gathered = context._jvm.java.util.ArrayList()
        for place in range(len(vectors)):
            gathered.add(model.predictProbability(asked[place]))
        scores = np.vstack([one.toArray() for one in _java2py(context, gathered)])
        return Answers(scores.argmax(axis=1), scores)


def _up_to_predictor(stages: Sequence[Any]) -> list[Any]:
    """The stages that are computed here, and the predictor."""
    found = list(stages)
    while found and type(found[-1]).__name__ in BEHIND:
        found.pop()
    if not found or not hasattr(found[-1], "predict"):
        name = type(found[-1]).__name__ if found else "nothing"
        raise ArtefactError(f"expected a pipeline that ends with a predictor, it ends with {name}")
    strange = [type(one).__name__ for one in found[:-1] if type(one).__name__ not in STAGES]
    if strange:
        raise ArtefactError(
            f"expected stages among {', '.join(STAGES)} before the predictor, found "
            f"{', '.join(strange)}: only these are computed without a job for each request"
        )
    return found


def _classes(before: Sequence[Any], predictor: Any, artefact: Artefact) -> list[Any]:
    if artefact.classes is not None:
        return list(artefact.classes)
    label = predictor.getLabelCol()
    for stage in before:
        if isinstance(stage, feature.StringIndexerModel) and stage.getOutputCol() == label:
            return list(stage.labels)
    return list(range(int(predictor.numClasses)))


def load(artefact: Artefact) -> SparkModel:
    """Start the session and load what `save` wrote."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    session = (
        SparkSession.builder.master(f"local[{threads}]")
        .appName("leadsman-replica")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        # What the JVM hands over goes by a socket file: a port may be knocked at by anybody, and
        # whoever comes first gets the one connection.
        .config("spark.python.unix.domain.socket.enabled", "true")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    path = str(artefact.path.resolve())
    metadata = sorted((artefact.path / "metadata").glob("part-*"))
    if not metadata:
        raise ArtefactError("expected a saved model of Spark, found no metadata")
    told = json.loads(metadata[0].read_text().splitlines()[0])
    if told["class"].endswith(".PipelineModel"):
        return SparkModel(session, PipelineModel.load(path).stages, artefact)
    single = DefaultParamsReader.loadParamsInstance(path, session)
    return SparkModel(session, [single], artefact)
