"""What a label tells besides the loss: how late it came, and every metric of the task."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.columns import Ints
from monitor.feed import Stretch
from monitor.records import Registry
from monitor.signals.arrivals import scores_of
from monitor.signals.base import DELAY, METRICS, Extracted, Observations, applications_in, coded
from monitor.signals.inputs import codes_of
from monitor.signals.losses import class_codes, wrong_classes
from monitor.texts import Texts

Floats = NDArray[np.float64]

MOST_CLASSES = 50
"""A stretch of the record with more classes than this gives none a metric of its own: each would
hold a handful of rows."""
LEAST_SHARE = 1e-15
"""A score of 0 for what came true counts as this in the log loss."""
QUANTILE = 0.9
"""Of the quantile loss."""

Custom = Callable[[Floats, Floats], Floats]
"""A metric of an operator: outputs and labels as numbers, shape (n,), to values, shape (n,)."""


def labelled(stretch: Stretch, registry: Registry) -> Extracted:
    """Delays of labels, and metrics of answers that a client read."""
    found: Extracted = {}
    answers, joined = stretch.answers, stretch.labelled
    served = answers.in_service[joined.answer]
    for number in applications_in([answers.application[joined.answer]]):
        application = registry.applications.get(number)
        mine = served & (answers.application[joined.answer] == number)
        if application is None or not mine.any():
            continue
        row, label, event = joined.answer[mine], joined.label[mine], joined.event[mine]
        code, names = coded(answers.version[row])
        at = stretch.labels.at[label]
        delay = np.maximum(at - answers.at[row], 0) / 1e6
        ids, revision = answers.id[row], answers.revision[row]
        found[number, DELAY] = Observations(event, at, ids, code, names, delay, revision, row=row)
        columns, values = metrics(stretch, application.task, row, label)
        found[number, METRICS] = Observations(
            event, at, ids, code, names, values, revision, columns, row
        )
    return found


def metrics(
    stretch: Stretch, task: str, row: Ints, label: Ints
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Each metric's part of each row, so that its mean is the metric; NaN where a row says nothing.

    F1 stands as the share of true positives among rows that are or were called positive, J:
    F1 = 2 J / (1 + J).
    """
    output, truth = stretch.answers.output.take(row), stretch.labels.value.take(label)
    if task == "regression":
        error = output.numbers() - truth.numbers()
        quantile = np.maximum(-QUANTILE * error, (1 - QUANTILE) * error)
        table = {
            "absolute": np.abs(error),
            "squared": np.square(error),
            "bias": error,
            "quantile": quantile,
        }
        return tuple(table), np.stack(list(table.values()), axis=1)
    said, true = class_codes(output, truth)
    table = {"error": wrong_classes(said, true)}
    table |= _probabilistic(stretch, task, row, label, output_code=said, label_code=true)
    names = _class_names(output, said) | _class_names(truth, true)
    if len(names) <= MOST_CLASSES:
        for code, name in sorted(names.items(), key=lambda pair: pair[1]):
            table |= _of_class(name, said == code, true == code)
    if task == "binary":
        positive = _positive(names)
        if positive is not None:
            named = {
                key.rsplit(".", 1)[0]: value
                for key, value in _of_class("", said == positive, true == positive).items()
            }
            table |= named
    return tuple(table), np.stack(list(table.values()), axis=1)


def _of_class(name: str, said: NDArray[np.bool_], true: NDArray[np.bool_]) -> dict[str, Floats]:
    right = (said & true).astype(np.float64)
    return {
        f"precision.{name}": np.where(said, right, np.nan),
        f"recall.{name}": np.where(true, right, np.nan),
        f"f1.{name}": np.where(said | true, right, np.nan),
    }


def _class_names(texts: Texts, codes: Ints) -> dict[int, str]:
    numbers, names = codes_of(texts)
    known = codes >= 0
    _, first = np.unique(codes[known], return_index=True)
    return {
        int(codes[known][at]): names[int(numbers[known][at])]
        for at in first.tolist()
        if not np.isnan(numbers[known][at])
    }


def _positive(names: dict[int, str]) -> int | None:
    """The class that counts as positive: 1, true or yes; none where the classes do not say."""
    for code, name in names.items():
        if name.lower() in POSITIVE:
            return code
    return None


POSITIVE = ("1", "true", "yes", "positive")
"""Names of the positive class of two."""
NEGATIVE = ("0", "false", "no", "negative")


def _probabilistic(
    stretch: Stretch, task: str, row: Ints, label: Ints, *, output_code: Ints, label_code: Ints
) -> dict[str, Floats]:
    """Log loss, Brier score and calibration of the last of two classes' score."""
    if task != "binary":
        return {}
    score = scores_of(stretch, row, task)
    if np.isnan(score).all():
        return {}
    happened = np.full(len(row), np.nan)
    codes, names = codes_of(stretch.labels.value.take(label))
    for code, name in names.items():
        if name.lower() in POSITIVE:
            happened[codes == code] = 1.0
        elif name.lower() in NEGATIVE:
            happened[codes == code] = 0.0
    likely = np.where(happened == 1.0, score, 1.0 - score)
    likely[np.isnan(happened)] = np.nan
    return {
        "log_loss": -np.log(np.clip(likely, LEAST_SHARE, 1.0)),
        "brier": np.square(happened - score),
        "calibration": happened - score,
    }


def custom_metric(path: str) -> Custom:
    """Load an operator's metric from `package.module:function`.

    Raises
    ------
    ValueError
        If there is no such function.
    """
    import importlib

    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not callable(found):
        raise ValueError(f"{path} is no function")
    loaded: Custom = found
    return loaded


def custom(
    stretch: Stretch, registry: Registry, wanted: Sequence[tuple[int, str, Custom]]
) -> Extracted:
    """Observations of operators' metrics: application, name and function of each."""
    found: Extracted = {}
    answers, joined = stretch.answers, stretch.labelled
    for number, name, function in wanted:
        mine = answers.in_service[joined.answer] & (answers.application[joined.answer] == number)
        if number not in registry.applications or not mine.any():
            continue
        row, label = joined.answer[mine], joined.label[mine]
        output = answers.output.take(row).numbers()
        truth = stretch.labels.value.take(label).numbers()
        value = np.asarray(function(output, truth), np.float64)
        known = np.isfinite(value)
        if value.shape != output.shape or not known.any():
            continue
        code, names = coded(answers.version[row[known]])
        found[number, f"metric.{name}"] = Observations(
            joined.event[mine][known],
            stretch.labels.at[label[known]],
            answers.id[row[known]],
            code,
            names,
            value[known],
            answers.revision[row[known]],
            row=row[known],
        )
    return found
