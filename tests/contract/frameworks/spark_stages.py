"""Every stage that a replica computes itself, beside what Spark's own `transform` gives: FOLDER.

It runs in Spark's environment, with this project on the path.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["PYSPARK_PYTHON"] = sys.executable

import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import (
    IndexToString,
    MinMaxScaler,
    Normalizer,
    StandardScaler,
    StringIndexer,
    VectorAssembler,
)
from pyspark.ml.regression import DecisionTreeRegressor, LinearRegression
from pyspark.sql import SparkSession

from serving.replica.frameworks import Artefact, ArtefactError, spark

FEATURES = ("kind", "a", "b", "same")
KINDS, FRUIT = ("x", "y", "z"), ("apple", "pear", "plum")


def frame(session: Any, count: int = 120) -> Any:
    """Text, two numbers, and one that never varies; a class of three and a number to learn."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(count, 2)) * (3, 50)
    records = [
        (KINDS[n % 3], float(a), float(b), 7.0, FRUIT[(n % 3 + (a > 0)) % 3], float(a * 2 + n % 3))
        for n, (a, b) in enumerate(numbers)
    ]
    return session.createDataFrame(records, [*FEATURES, "fruit", "size"])


def numbers() -> Any:
    """The numbers as a vector."""
    return VectorAssembler(inputCols=["a", "b", "same"], outputCol="raw")


def same_numbers(data: Any, folder: Path) -> None:
    """Regressions behind each scaler: a linear one shows every difference of its inputs."""
    columns = {"inputCol": "raw", "outputCol": "v"}
    linear = LinearRegression(featuresCol="v", labelCol="size", regParam=0.1)
    tree = DecisionTreeRegressor(featuresCol="v", labelCol="size")
    pairs: list[tuple[Any, Any]] = [
        (StandardScaler(withMean=True, **columns), linear),
        (StandardScaler(withMean=False, **columns), linear),
        (StandardScaler(withMean=True, withStd=False, **columns), linear),
        (MinMaxScaler(min=-1.0, max=3.0, **columns), linear),
        (MinMaxScaler(**columns), tree),
    ]
    for number, (scaler, model) in enumerate(pairs):
        fitted = Pipeline(stages=[numbers(), scaler, model]).fit(data)
        wanted = [row.prediction for row in fitted.transform(data).collect()]
        served = saved(fitted, folder / f"numbers-{number}")
        np.testing.assert_allclose(served.predict(rows_of(data)).outputs, wanted, rtol=1e-9)


def same_classes(data: Any, folder: Path) -> None:
    """Text among the features and in the label, three classes, a name behind the model."""
    stages = [
        StringIndexer(inputCol="kind", outputCol="place", handleInvalid="keep"),
        StringIndexer(inputCol="fruit", outputCol="label"),
        VectorAssembler(inputCols=["place", "a", "b"], outputCol="features"),
        RandomForestClassifier(numTrees=5, seed=3),
    ]
    fitted = Pipeline(stages=stages).fit(data)
    named = IndexToString(inputCol="prediction", outputCol="told", labels=fitted.stages[1].labels)
    fitted.stages.append(named)
    asked = data.replace("z", "unheard of", ["kind"])
    wanted = fitted.transform(asked).collect()
    served = saved(fitted, folder / "classes")
    answers = served.predict(rows_of(asked))
    assert answers.scores is not None
    scores = [row.probability.toArray() for row in wanted]
    np.testing.assert_allclose(answers.scores, scores, rtol=1e-9)
    assert served.classes is not None
    assert [served.classes[one] for one in answers.outputs] == [row.told for row in wanted]


def refused(data: Any, folder: Path) -> None:
    """A stage that is not computed here is named."""
    normalizer = Normalizer(inputCol="raw", outputCol="features")
    model = LinearRegression(labelCol="size")
    fitted = Pipeline(stages=[numbers(), normalizer, model]).fit(data)
    said = "it was taken"
    try:
        saved(fitted, folder / "strange")
    except ArtefactError as error:
        said = str(error)
    assert "before the predictor, found Normalizer" in said, said


def saved(fitted: Any, path: Path) -> spark.SparkModel:
    """What a replica makes of a saved pipeline."""
    fitted.write().overwrite().save(str(path))
    return spark.load(Artefact(path, features=FEATURES))


def rows_of(data: Any) -> list[list[Any]]:
    """Rows as a replica gets those with text."""
    return [list(row) for row in data.select(*FEATURES).collect()]


def main(folder: Path) -> None:
    """Compare all."""
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "1")
    builder = builder.config("spark.python.unix.domain.socket.enabled", "true")
    for name in ("host", "bindAddress"):
        builder = builder.config(f"spark.driver.{name}", "127.0.0.1")
    session = builder.getOrCreate()
    data = frame(session).cache()
    same_numbers(data, folder)
    same_classes(data, folder)
    refused(data, folder)
    session.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
