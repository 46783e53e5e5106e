"""Every metric of a task, as one value a row whose mean is the metric."""

import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Ints
from monitor.feed.join import Stretch
from monitor.feed.texts import Texts
from monitor.signals.arrivals import scores_of
from monitor.signals.inputs import codes_of
from monitor.signals.losses import class_codes, wrong_classes

Floats = NDArray[np.float64]

MOST_CLASSES = 50
"""A stretch of the record with more classes than this gives none a metric of its own: each would
hold a handful of rows."""
LEAST_SHARE = 1e-15
"""A score of 0 for what came true counts as this in the log loss."""
OF_TASK = {
    "regression": ("absolute", "squared", "bias", "quantile"),
    "binary": (
        *("error", "log_loss", "brier", "calibration"),
        *("precision", "recall", "f1", "auc"),
    ),
    "multiclass": (
        *("error", "log_loss", "brier", "calibration", "calibration.CLASS"),
        *("precision.CLASS", "recall.CLASS", "f1.CLASS", "auc.CLASS"),
    ),
}
"""Metrics of each task, by name."""
USUAL_QUANTILE = 0.9
"""Of the quantile loss, where a watch states none."""


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
        table = {
            "absolute": np.abs(error),
            "squared": np.square(error),
            "bias": error,
            "quantile": quantile_loss(error, USUAL_QUANTILE),
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


def quantile_loss(error: Floats, quantile: float) -> Floats:
    """Loss of forecasts of a quantile, least on the average where they are that quantile.

    Parameters
    ----------
    error : shape (n,)
        Forecast less what came, in the label's unit.
    quantile
        In (0, 1): the share of rows in which what comes lies below a good forecast.

    References
    ----------
    R. Koenker and G. Bassett, Econometrica 46(1), 1978, 33-50.
    """
    return np.maximum(-quantile * error, (1 - quantile) * error)


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
    """Log loss, Brier score and calibration, as far as scores tell."""
    score = scores_of(stretch, row, task)
    if np.isnan(score).all():
        return {}
    if task == "binary":
        return _of_two(score, happened(stretch.labels.value.take(label)))
    known = (output_code >= 0) & (label_code >= 0)
    right = np.where(known, (output_code == label_code).astype(np.float64), np.nan)
    # Positive where the version is less sure than it is right.
    return {"calibration": right - score} | _of_many(stretch, row, label)


def _of_two(score: Floats, happened: Floats) -> dict[str, Floats]:
    """From the score of the last of two classes, and whether that came true."""
    likely = np.where(happened == 1.0, score, 1.0 - score)
    likely[np.isnan(happened)] = np.nan
    return {
        "log_loss": -np.log(np.clip(likely, LEAST_SHARE, 1.0)),
        "brier": np.square(happened - score),
        "calibration": happened - score,
    }


def _of_many(stretch: Stretch, row: Ints, label: Ints) -> dict[str, Floats]:
    """From the scores of all classes, where labels are the numbers of the scores, from 0."""
    scores = stretch.answers.scores.take(row)
    count = int(scores.length.max(initial=0)) // 8
    if not 2 < count <= MOST_CLASSES:
        return {}
    truth = places_of(stretch.labels.value.take(label), count)
    mine = (scores.length == 8 * count) & ~np.isnan(truth)
    if not mine.any():
        return {}
    block, true = scores.take(mine).floats(count), truth[mine].astype(np.int64)
    likely = block[np.arange(len(block)), true]
    table = {
        "log_loss": -np.log(np.clip(likely, LEAST_SHARE, 1.0)),
        "brier": np.square(block).sum(axis=1) - 2.0 * likely + 1.0,
    }
    table |= {f"calibration.{one}": (true == one) - block[:, one] for one in range(count)}
    found = {}
    for name, values in table.items():
        found[name] = np.full(len(row), np.nan)
        found[name][mine] = values
    return found


def places_of(label: Texts, count: int) -> Floats:
    """Shape (n,): labels that are the numbers of scores, from 0 to less than `count`; else NaN."""
    truth = label.numbers()
    is_place = (truth >= 0) & (truth < count) & (truth == np.floor(truth))
    return np.where(is_place, truth, np.nan)


def happened(label: Texts) -> Floats:
    """Shape (n,): 1 where a label is the positive class of two, 0 where the other; else NaN."""
    told = np.full(len(label), np.nan)
    codes, names = codes_of(label)
    for code, name in names.items():
        if name.lower() in POSITIVE:
            told[codes == code] = 1.0
        elif name.lower() in NEGATIVE:
            told[codes == code] = 0.0
    return told
