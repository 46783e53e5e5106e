"""Rows as arrays, frames and named columns, and arrays of scores as answers."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.replica.frameworks import Answers, ArtefactError, Block


def places(columns: Sequence[str] | None, features: Sequence[str]) -> list[int] | None:
    """Place in the application's row of each column that a model knows by name.

    Returns
    -------
    list of int
        None where either side has no names, or both have the same in the same order.

    Raises
    ------
    ArtefactError
        If the model knows a column that the input schema lacks.
    """
    if columns is None or not features or list(columns) == list(features):
        return None
    absent = sorted(set(columns) - set(features))
    if absent:
        raise ArtefactError(
            f"the model was fitted on columns that the input schema lacks: {', '.join(absent)}"
        )
    return [list(features).index(name) for name in columns]


def numbers(rows: Block | Sequence[Any], order: list[int] | None = None) -> Block:
    """Rows as a block of numbers in the model's order.

    Raises
    ------
    ValueError
        If a row holds something else.
    """
    block = rows if isinstance(rows, np.ndarray) else _parsed(rows)
    return block if order is None else block[:, order]


def _parsed(rows: Sequence[Any]) -> Block:
    try:
        return np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model takes numbers only: {error}") from error


class Frames:
    """Makes data frames of rows.

    Parameters
    ----------
    columns
        Names of the columns as the model knows them.
    order
        Their places in a row, as `places` gives them.
    """

    def __init__(self, columns: Sequence[str], order: list[int] | None) -> None:
        self._columns = list(columns)
        self._order = order
        try:
            self._pandas: Any = importlib.import_module("pandas")
        except ImportError as error:
            raise ArtefactError(
                "the model takes data frames, and pandas is not in this environment"
            ) from error

    def of(self, rows: Block | Sequence[Any]) -> Any:
        """Rows as a frame."""
        if isinstance(rows, np.ndarray):
            block = rows if self._order is None else rows[:, self._order]
            return self._pandas.DataFrame(block, columns=self._columns)
        order = range(len(self._columns)) if self._order is None else self._order
        ordered = [[row[place] for place in order] for row in rows]
        return self._pandas.DataFrame(ordered, columns=self._columns)


def answers_of(values: Any, classes: Sequence[Any] | None) -> Answers:
    """Take an array of a model's results as answers.

    Parameters
    ----------
    values
        One a row, or rows by columns. Where there are classes these are scores: one column for
        each class, or of two classes the second one's.
    classes
        Values of the outputs; none where the results are the outputs themselves.

    Raises
    ------
    ValueError
        If there are neither as many columns as classes nor one for two.
    """
    found: npt.NDArray[Any] = np.asarray(values)
    if classes is None:
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.dtype.kind == "f":
            found = found.astype(np.float64)
        return Answers(found if found.ndim == 1 else found.tolist())
    scores = found.reshape(len(found), -1).astype(np.float64)
    if scores.shape[1] == 1 and len(classes) == 2:
        scores = np.hstack([1.0 - scores, scores])
    if scores.shape[1] != len(classes):
        raise ValueError(
            f"expected {len(classes)} scores a row, one for each class, got {scores.shape[1]}"
        )
    return Answers(scores.argmax(axis=1), np.ascontiguousarray(scores))


def named(rows: Block | Sequence[Any], features: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as dictionaries of named features; null as None."""
    if isinstance(rows, np.ndarray):
        missing = np.isnan(rows)
        values: Sequence[Any] = rows.tolist()
        if missing.any():
            values = [[None if x != x else x for x in row] for row in rows.tolist()]  # noqa: PLR0124  # NaN
    else:
        values = rows
    return [dict(zip(features, row, strict=True)) for row in values]
