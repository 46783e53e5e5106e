"""An example as a person runs it, and then what its own library answers: EXAMPLE FOLDER ROWS.

It runs in the environment of the framework, with nothing of ours. It prints what the example does,
and on a last line scores or outputs of the rows as JSON.
"""

import importlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np

Told = tuple[Any, Any]
"""Scores and outputs, of which one may be none."""


def _of_two(second: Any) -> Told:
    share = np.asarray(second, dtype=np.float64).reshape(-1)
    return np.column_stack([1 - share, share]), None


def scikit_learn(path: str, rows: Any, _: Any) -> Told:
    import joblib

    model = joblib.load(path)
    return model.predict_proba(rows), model.predict(rows)


def skops_file(path: str, _: Any, frame: Any) -> Told:
    import skops.io

    model = skops.io.load(path)
    named = frame[list(model.feature_names_in_)]
    return model.predict_proba(named), model.predict(named)


def python_function(path: str, _: Any, frame: Any) -> Told:
    import cloudpickle

    return None, cloudpickle.loads(Path(path).read_bytes())(frame.to_dict("records"))


def xgboost_model(path: str, _: Any, frame: Any) -> Told:
    import xgboost

    return _of_two(xgboost.Booster(model_file=path).predict(xgboost.DMatrix(frame)))


def lightgbm_model(path: str, rows: Any, _: Any) -> Told:
    import lightgbm

    return _of_two(lightgbm.Booster(model_file=path).predict(rows))


def onnx_model(path: str, _: Any, frame: Any) -> Told:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {name: frame[[name]].to_numpy(np.float32) for name in frame}
    labels, scores = session.run(None, inputs)
    return [[row[0], row[1]] for row in scores], labels


def mlflow_model(path: str, _: Any, frame: Any) -> Told:
    import mlflow.pyfunc

    return None, mlflow.pyfunc.load_model(path).predict(frame)


def river_model(path: str, _: Any, frame: Any) -> Told:
    import pickle

    model = pickle.loads(Path(path).read_bytes())  # noqa: S301
    records = frame.to_dict("records")
    return [[model.predict_proba_one(one)[label] for label in (False, True)] for one in records], [
        int(model.predict_one(one)) for one in records
    ]


def tensorflow_savedmodel(path: str, rows: Any, _: Any) -> Told:
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (found,) = signature(**{name: tf.constant(rows, tf.float32)}).values()
    return _of_two(found.numpy())


def tensorflow_keras(path: str, rows: Any, _: Any) -> Told:
    import keras

    return None, keras.models.load_model(path).predict(rows, verbose=0)[:, 0]


def pytorch_exported(path: str, rows: Any, _: Any) -> Told:
    import torch

    program = torch.export.load(path).module()
    return _of_two(program(torch.tensor(rows, dtype=torch.float32)).detach().numpy())


def pytorch_torchscript(path: str, rows: Any, _: Any) -> Told:
    import torch

    found = torch.jit.load(path)(torch.tensor(rows, dtype=torch.float32))
    return None, found.detach().numpy()[:, 0]


def spark_pipeline(path: str, rows: Any, _: Any) -> Told:
    features = importlib.import_module("payments").FEATURES
    from pyspark.ml import PipelineModel
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").getOrCreate()
    # A pipeline's own way, which is too slow to serve.
    frame = session.createDataFrame([(*row, "no") for row in rows.tolist()], [*features, "fraud"])
    found = PipelineModel.load(path).transform(frame).select("probability", "prediction").collect()
    names = ["no", "yes"]
    return [one[0].toArray() for one in found], [names[int(one[1])] for one in found]


def main(example: str, folder: str, rows_file: str) -> None:
    """Train, ask the library, tell."""
    features = importlib.import_module("payments").FEATURES

    sys.argv = [example, folder]
    runpy.run_path(example, run_name="__main__")
    (path,) = [one for one in Path(folder).iterdir() if one.name.startswith("fraud")]
    records = json.loads(Path(rows_file).read_text())
    rows = np.array([[one[name] for name in features] for one in records])
    try:
        import pandas as pd

        frame: Any = pd.DataFrame(records, columns=list(features))
    except ImportError:
        # TensorFlow's, PyTorch's and Spark's environments have none, and they ask for none.
        frame = None
    scores, outputs = globals()[Path(example).stem](str(path), rows, frame)
    told = {
        name: None if found is None else np.asarray(found).tolist()
        for name, found in (("scores", scores), ("outputs", outputs))
    }
    print(json.dumps(told))


if __name__ == "__main__":
    # As where the example alone is run.
    sys.path[0] = str(Path(sys.argv[1]).parent)
    main(*sys.argv[1:])
