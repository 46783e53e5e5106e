"""How the demo trains: one form of model for all versions, and out-of-sample answers as reference.

Everything here was fixed on rows before `TRAINED_ON`.
"""

import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from leadsman.demo.market import FEATURES, PRICE

FOLDS = 5
"""Forward-chained folds: each is answered by a model that saw only rows before it."""

WRONG_UNIT = 1_000.0
"""v2's training data hold the price per MWh where the service sends it per kWh."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A version before it is registered."""

    artefact: bytes
    """joblib file."""
    reference: dict[str, Any]
    """Body of PUT …/reference: rows in time order, labels, answers given out of sample."""
    offline_error: float
    """Share of wrong answers out of sample, on the data as the trainer had them."""
    rows: int


def train_aside(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> Trained:
    """Train in a process of its own: beside busy threads of this one it would take a minute."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(train, inputs, labels).result()


def train(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> Trained:
    """Train on rows in time order.

    Parameters
    ----------
    inputs : shape (n, 6)
        Features.
    labels : shape (n,)
        0 or 1.
    """
    tested: list[NDArray[np.int64]] = []
    answers: list[NDArray[np.int64]] = []
    for before, fold in TimeSeriesSplit(FOLDS).split(inputs):
        tested.append(fold)
        answers.append(_fit(inputs[before], labels[before]).predict(inputs[fold]))
    rows, outputs = np.concatenate(tested), np.concatenate(answers)
    file = io.BytesIO()
    joblib.dump(_fit(inputs, labels), file)
    reference = {
        "rows": [dict(zip(FEATURES, row, strict=True)) for row in inputs[rows].tolist()],
        "labels": labels[rows].tolist(),
        "outputs": outputs.tolist(),
    }
    error = float(np.mean(outputs != labels[rows]))
    return Trained(file.getvalue(), reference, error, len(inputs))


def in_wrong_unit(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows as the trainer of the bad release had them."""
    wrong = inputs.copy()
    wrong[:, PRICE] *= WRONG_UNIT
    return wrong


def _fit(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(inputs, labels)
