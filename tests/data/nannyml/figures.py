"""Write what NannyML estimates on the data of `data.py` to `figures.json`.

Run in an environment of its own, from the root of the checkout:

    python -m venv ENV && ENV/bin/pip install nannyml==0.13.1 statsmodels "pandas<3"
    NML_DISABLE_USAGE_LOGGING=1 ENV/bin/python -m tests.data.nannyml.figures
"""

import json
from pathlib import Path
from typing import Any

import nannyml  # type: ignore[import-not-found]  # lives in an environment of its own
import numpy as np
import pandas
from numpy.typing import NDArray

from tests.data.nannyml import data


def binary() -> dict[str, Any]:
    def frame(rows: data.Binary) -> pandas.DataFrame:
        return pandas.DataFrame(
            {
                "score": rows.scores,
                "answer": rows.predicted.astype(int),
                "label": rows.labels.astype(int),
            }
        )

    estimator = nannyml.CBPE(
        y_pred_proba="score",
        y_pred="answer",
        y_true="label",
        problem_type="classification_binary",
        metrics=["accuracy", "precision", "recall", "f1", "roc_auc"],
        chunk_size=data.CHUNK,
    )
    estimator.fit(frame(data.binary(data.REFERENCE_SEED, shift=0.0)))
    return {
        name: _values(
            estimator.estimate(
                frame(data.binary(data.CURRENT_SEED, shift=shift)).drop(columns="label")
            ),
            ["accuracy", "precision", "recall", "f1", "roc_auc"],
        )
        for name, shift in data.SHIFTS.items()
    }


def multiclass() -> dict[str, Any]:
    def frame(rows: data.Multiclass) -> pandas.DataFrame:
        return pandas.DataFrame(
            {f"score{k}": rows.scores[:, k] for k in range(3)}
            | {"answer": rows.predicted, "label": rows.labels}
        )

    estimator = nannyml.CBPE(
        y_pred_proba={k: f"score{k}" for k in range(3)},
        y_pred="answer",
        y_true="label",
        problem_type="classification_multiclass",
        metrics=["accuracy", "precision", "recall", "f1", "roc_auc"],
        chunk_size=data.CHUNK,
    )
    estimator.fit(frame(data.multiclass(data.REFERENCE_SEED, shift=0.0)))
    return {
        name: _values(
            estimator.estimate(
                frame(data.multiclass(data.CURRENT_SEED, shift=shift)).drop(columns="label")
            ),
            ["accuracy", "precision", "recall", "f1", "roc_auc"],
        )
        for name, shift in data.SHIFTS.items()
    }


def regression() -> dict[str, Any]:
    names = [f"feature{k}" for k in range(5)]

    def frame(rows: data.Regression) -> pandas.DataFrame:
        table = pandas.DataFrame(rows.features, columns=names)
        table["feature2"] = (
            table["feature2"].map(lambda code: f"kind {int(code)}").astype("category")
        )
        return table.assign(answer=rows.predicted, label=rows.labels)

    estimator = nannyml.DLE(
        feature_column_names=names,
        y_pred="answer",
        y_true="label",
        metrics=["mae", "mse", "rmse"],
        chunk_size=data.CHUNK,
    )
    estimator.fit(frame(data.regression(data.REFERENCE_SEED, shift=0.0)))
    return {
        name: _values(
            estimator.estimate(
                frame(data.regression(data.CURRENT_SEED, shift=shift)).drop(columns="label")
            ),
            ["mae", "mse", "rmse"],
        )
        for name, shift in data.SHIFTS.items()
    }


def _values(result: Any, metrics: list[str]) -> dict[str, list[float]]:
    table = result.filter(period="analysis").to_df()
    return {metric: [float(value) for value in table[(metric, "value")]] for metric in metrics}


def sums() -> dict[str, float]:
    """To notice data that are not those of these figures."""
    arrays: dict[str, NDArray[Any]] = {
        "binary": data.binary(data.REFERENCE_SEED, shift=0.0).scores,
        "multiclass": data.multiclass(data.REFERENCE_SEED, shift=0.0).scores[:, 0],
        "regression": data.regression(data.REFERENCE_SEED, shift=0.0).labels,
    }
    return {name: float(np.sum(values)) for name, values in arrays.items()}


def main() -> None:
    figures = {
        "nannyml": nannyml.__version__,
        "sums": sums(),
        "binary": binary(),
        "multiclass": multiclass(),
        "regression": regression(),
    }
    Path(__file__).with_name("figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
