"""Signals that are read only where a watch asks for them: AUC, quantiles, operators' metrics."""

import importlib
import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidRequestError
from monitor.feed.columns import Ints
from monitor.feed.join import Stretch
from monitor.records import Registry, Watch
from monitor.signals.arrivals import scores_of
from monitor.signals.base import AUC, QUANTILE, Observations, coded, is_of
from monitor.signals.inputs import codes_of
from monitor.signals.metrics import USUAL_QUANTILE, happened, places_of, quantile_loss
from monitor.watches.failure import said_of, storable
from monitor.watches.watch import WatchForm, settings_of

log = logging.getLogger("monitor.signals.custom")

Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats], Floats]
"""A metric of an operator: outputs and labels as numbers, shape (n,), to values, shape (n,), of
which more is worse; NaN where a row says nothing."""


def load_metric(path: str) -> Metric:
    """Load an operator's metric.

    Parameters
    ----------
    path
        package.module:function, importable where the monitor runs.

    Raises
    ------
    ValueError
        If there is no such function, saying why.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    # A module may fail in any way when it is imported.
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{name} is no function but {type(found).__name__}")
    loaded: Metric = found
    return loaded


def check_metric(form: WatchForm, modules: Sequence[str], *, where: str) -> None:
    """Refuse a watch of a metric that may not or cannot be loaded here.

    Parameters
    ----------
    modules
        Those from which metrics may come, with what lies below them.

    Raises
    ------
    InvalidRequestError
        Naming the setting below `where`.
    """
    path = form.settings.get("metric")
    if path is None:
        return
    module = str(path).partition(":")[0]
    if not any(module == one or module.startswith(f"{one}.") for one in modules):
        allowed = ", ".join(modules) or "none"
        expected = f"a module that MONITOR_METRIC_MODULES allows ({allowed})"
        raise InvalidRequestError(f"{where}/settings/metric", expected, path)
    try:
        load_metric(path)
    except ValueError as error:
        expected = f"a function that the monitor can import ({error})"
        raise InvalidRequestError(f"{where}/settings/metric", expected, path) from error


def asks(watch: Watch) -> bool:
    """Whether a watch's signal is read for it alone."""
    own = watch.settings.get("metric") is not None
    return own or is_of(watch.signal, AUC) or is_of(watch.signal, QUANTILE)


class MetricFailedError(ValueError):
    """A metric cannot be told of the rows: an operator's raised, or there is no such class.

    Parameters
    ----------
    version
        A version whose rows it was given.
    """

    def __init__(self, said: str, version: int) -> None:
        super().__init__(storable(said))
        self.version = version


def asked_for(watch: Watch, stretch: Stretch, registry: Registry) -> Observations | None:
    """Observations of a signal that only this watch asks for; none where there are none.

    Raises
    ------
    MetricFailedError
        If the operator's function does not give a number for each row, or scores and labels hold no
        class of the name.
    """
    path = watch.settings.get("metric")
    answers, joined = stretch.answers, stretch.labelled
    mine = answers.in_service[joined.answer]
    mine &= answers.application[joined.answer] == watch.application_id
    row, label, event = joined.answer[mine], joined.label[mine], joined.event[mine]
    if not len(row):
        return None
    dealt: Floats | None = None
    task = registry.applications[watch.application_id].task
    if path is not None:
        value = _applied(watch, path, stretch, row, label)
        known = np.isfinite(value)
    elif is_of(watch.signal, QUANTILE):
        if task != "regression":
            return None
        value = _of_quantile(watch, stretch, row, label)
        known = np.isfinite(value)
    else:
        value, truth = _ranked(watch, stretch, row, label, task)
        dealt = np.column_stack([truth, np.ones(len(row))])
        known = np.isfinite(value) & ~np.isnan(truth)
    if not known.any():
        return None
    code, names = coded(answers.version[row[known]])
    return Observations(
        event[known],
        stretch.labels.at[label[known]],
        answers.id[row[known]],
        code,
        names,
        value[known],
        answers.revision[row[known]],
        row=row[known],
        dealt=None if dealt is None else dealt[known],
    )


def _ranked(
    watch: Watch, stretch: Stretch, row: Ints, label: Ints, task: str
) -> tuple[Floats, Floats]:
    """Scores, and 1 beside the score of a positive; NaN where a row has none."""
    version, labels = int(stretch.answers.version[row[0]]), stretch.labels.value.take(label)
    scores = stretch.answers.scores.take(row)
    count = int(scores.length.max(initial=0)) // 8
    if watch.signal == AUC:
        if task == "multiclass":
            said = f"An AUC is of one class against the rest: watch {AUC}.CLASS, with"
            raise MetricFailedError(f"{said} {_classes(count)}.", version)
        return scores_of(stretch, row, task), happened(labels)
    value, number = np.full(len(row), np.nan), int(watch.signal.removeprefix(f"{AUC}."))
    if not count:
        return value, value
    if count == 1:
        raise MetricFailedError("The rows hold one score each, none of each class.", version)
    if number >= count:
        said = f"The version gives no score of a class {number}: there are {_classes(count)}."
        raise MetricFailedError(said, version)
    truth = places_of(labels, count)
    if np.isnan(truth).all():
        names = ", ".join(sorted(codes_of(labels)[1].values())[:MOST_NAMES])
        said = f"Labels say no class by the number of its score, {_classes(count)}: they are"
        raise MetricFailedError(f"{said} {names or 'empty'}.", version)
    mine = scores.length == 8 * count
    value[mine] = scores.take(mine).floats(count)[:, number]
    return value, np.where(np.isnan(truth), np.nan, truth == number)


MOST_NAMES = 5
"""Labels that are named to say what labels are like."""


def _classes(count: int) -> str:
    return f"classes 0 to {count - 1}" if count else "the number of its score, from 0"


def _of_quantile(watch: Watch, stretch: Stretch, row: Ints, label: Ints) -> Floats:
    output = stretch.answers.output.take(row).numbers()
    truth = stretch.labels.value.take(label).numbers()
    return quantile_loss(output - truth, settings_of(watch).quantile or USUAL_QUANTILE)


def _applied(watch: Watch, path: str, stretch: Stretch, row: Ints, label: Ints) -> Floats:
    output = stretch.answers.output.take(row).numbers()
    truth = stretch.labels.value.take(label).numbers()
    try:
        value = np.asarray(load_metric(path)(output.copy(), truth.copy()), np.float64)
    # An operator's function may fail in any way, and may not stop all other tests: nor by ending
    # the process.
    except (Exception, SystemExit) as error:
        log.warning("metric_failed watch=%s metric=%s error=%s", watch.name, path, said_of(error))
        version = int(stretch.answers.version[row[0]])
        raise MetricFailedError(f"The metric {path} failed: {said_of(error)}.", version) from error
    if value.shape != output.shape:
        log.warning("metric_failed watch=%s metric=%s shape=%s", watch.name, path, value.shape)
        said = f"The metric {path} gave shape {value.shape} for {len(output)} rows."
        raise MetricFailedError(said, int(stretch.answers.version[row[0]]))
    return value
