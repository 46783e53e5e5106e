"""The detector of a subject that a watch meets for the first time."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from drift.diagnostics import MIN_ROWS
from drift.streaming.river_adapter import NAMES as RIVER
from monitor.evaluation.delays import ask_for_order
from monitor.evaluation.detector_state import Subject, new_subject
from monitor.evaluation.gathered import begin_gathered, gathers
from monitor.records import Json, Watch
from monitor.settings import Tier
from monitor.signals.base import (
    CANARY_DIFFERENCE,
    CHALLENGER_DIFFERENCE,
    DELAY,
    FEATURES,
    LOSS,
    LOSS_DIFFERENCE,
    OUTPUT,
    SCORE,
    Observations,
)
from monitor.watches.normal import learning, resolve_normal, usual_steps
from monitor.watches.opener import refused_for_numbers
from monitor.watches.resolution import MIN_BLOCKS, Resolved, choose_block, resolve
from monitor.watches.watch import OF_A_LIMIT, WatchSettings, settings_of

Floats = NDArray[np.float64]

References = Callable[[str, str], Sequence[float] | Floats | None]
"""Values of a signal on the reference rows of a subject; none where it has none."""


def meet(
    watch: Watch,
    signal: str,
    subject: str,
    *,
    observations: Observations,
    references: References,
    task: str,
) -> Subject | None:
    """Begin to watch a subject that is met for the first time; none where it is not for it."""
    reference = references(signal, subject)
    values = None if reference is None or not len(reference) else np.asarray(reference, np.float64)
    settings = settings_of(watch)
    categorical = _is_categorical(signal, observations, task)
    unfit = refused_for_numbers(settings, signal, task)
    if unfit is not None:
        return new_subject(watch, signal, subject, Resolved("refused", unfit, {}))
    if gathers(watch, settings):
        begun = begin_gathered(watch, signal, task=task, categorical=categorical, reference=values)
        return new_subject(watch, signal, subject, begun)
    # A mean is compared with what is normal, from live rows if need be; the other tests of losses
    # need no reference, in a segment either.
    by_mean = watch.detector in OF_A_LIMIT and (
        "|" in subject or _learns(watch, settings, values, task)
    )
    if watch.detector in LOSS_DETECTORS and watch.signal in LOSSES and not by_mean:
        resolved = resolve(watch, task, None if reference is None else list(reference))
        if resolved is None:
            return None
        pool = usual_steps(watch, resolved.parameters, values)
        return new_subject(watch, signal, subject, resolved, pool)
    resolved, pool = resolve_normal(
        watch,
        signal,
        task=task,
        categorical=categorical,
        reference=values,
        texts=observations.texts,
    )
    made = new_subject(watch, signal, subject, resolved, pool)
    if made.status == "learning":
        made.parameters |= {"categorical": categorical, "task": task}
        if signal == SCORE and settings.block == "recommended":
            made.parameters |= _as_long_as_features(references, subject, watch)
        made.reason = learning(int(made.parameters["learn"]), subject, 0)
        if signal == DELAY:
            made.parameters = ask_for_order(made.parameters)
    return made


def _as_long_as_features(references: References, subject: str, watch: Watch) -> Json:
    """How long the steps of scores are at least, and how many rows are learned for it.

    Scores are made of features: what these do over a day, scores do too, and a few hours of live
    rows would not show it.
    """
    settings, block = settings_of(watch), 1
    columns = references(FEATURES, subject.partition("|")[0])
    for column in [] if columns is None else np.asarray(columns, np.float64).T:
        known = column[~np.isnan(column)]
        if len(known) >= MIN_ROWS:
            block = max(block, choose_block(settings, known, Tier.INFO)[0])
    wanted = settings.learn if "learn" in watch.settings else MIN_BLOCKS * block
    return {"least_block": block, "learn": max(settings.learn, wanted)}


def _learns(watch: Watch, settings: WatchSettings, reference: Floats | None, task: str) -> bool:
    """Whether the first live losses of a version are what the later ones are compared with."""
    # The usual watch of errors leaves versions without reference rows to growing-pool, which sees a
    # rise sooner; that can do nothing with a loss in a unit of its own.
    elsewhere = watch.name == USUAL and watch.detector == "bounded-mean" and task != "regression"
    return reference is None and settings.limit is None and not elsewhere


USUAL = "loss"
"""Name of the default watch of losses at page tier."""

LOSSES = (LOSS, LOSS_DIFFERENCE, CHALLENGER_DIFFERENCE, CANARY_DIFFERENCE)
LOSS_DETECTORS = (
    *OF_A_LIMIT,
    "growing-pool",
    *RIVER,
    "paired-excess",
    "paired-promotion",
    "randomised-excess",
    "randomised-promotion",
)


def _is_categorical(signal: str, observations: Observations, task: str) -> bool:
    if signal == OUTPUT:
        return task != "regression"
    if not signal.startswith("feature."):
        return False
    return signal.removeprefix("feature.") in observations.categorical
