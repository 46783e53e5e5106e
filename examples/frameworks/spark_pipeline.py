"""A pipeline of Spark MLlib: an assembler, a scaler and a logistic regression."""

import os
import sys
from pathlib import Path

os.environ["PYSPARK_PYTHON"] = sys.executable

from payments import FEATURES, payments
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StandardScaler, StringIndexer, VectorAssembler
from pyspark.sql import SparkSession


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "1")
    builder = builder.config("spark.python.unix.domain.socket.enabled", "true")
    for name in ("host", "bindAddress"):
        builder = builder.config(f"spark.driver.{name}", "127.0.0.1")
    session = builder.getOrCreate()
    rows, labels = payments(300)
    names = ["no", "yes"]
    records = [
        (*row, names[label]) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
    ]
    frame = session.createDataFrame(records, [*FEATURES, "fraud"])
    stages = [
        StringIndexer(inputCol="fraud", outputCol="label", stringOrderType="alphabetAsc"),
        VectorAssembler(inputCols=list(FEATURES), outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="features", withMean=True),
        LogisticRegression(maxIter=10),
    ]
    path = folder / "fraud-spark"
    Pipeline(stages=stages).fit(frame).write().overwrite().save(str(path))
    session.stop()
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
