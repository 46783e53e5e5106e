"""Watches of which several rows make one step: units by a key, positives with their negatives.

Reference rows have neither keys nor scores, so unless a limit is set the first live steps are the
reference: said plainly, with how many are still needed.
"""

import numpy as np
from numpy.typing import NDArray

from drift.diagnostics import refusal
from drift.errors import DriftError
from drift.means.reference import upper_limit
from monitor.evaluation.detector_state import Subject
from monitor.feed.rows import Steps
from monitor.records import Json, Watch
from monitor.settings import Tier
from monitor.signals.base import AUC, is_of
from monitor.watches.normal import (
    about_metric,
    is_inverted,
    is_unbounded,
    ranks_of,
    rate_with_limit,
    stated_limit,
    two_sided_of,
    usual_steps,
)
from monitor.watches.resolution import MAX_LIMIT, Resolved
from monitor.watches.watch import OF_A_LIMIT, WatchSettings, head_start_of, settings_of

Floats = NDArray[np.float64]

NEGATIVES = 4
"""Negatives that a positive is compared with where none are set: right for one positive in five."""


def gathers(watch: Watch, settings: WatchSettings) -> bool:
    """Whether several rows make one step, by a key of theirs."""
    return settings.unit is not None or is_of(watch.signal, AUC)


def begin_gathered(
    watch: Watch, signal: str, *, task: str, categorical: bool, reference: Floats | None
) -> Resolved:
    """Fix the parameters for one subject.

    Parameters
    ----------
    reference
        Values on single reference rows: they give the largest value that counts.
    """
    settings = settings_of(watch)
    if watch.detector == "ranks" and categorical:
        said = f"A category has no mean over the rows of one {_key(settings)}: set block instead."
        return Resolved("refused", said, {})
    clip = settings.clip or 1.0
    if settings.clip is None and watch.detector != "ranks" and _has_no_end(watch, settings, task):
        if reference is None or not len(reference):
            said = "Values without an end need the setting clip, or reference rows that show it."
            return Resolved("refused", said, {})
        clip = float(np.quantile(np.abs(reference), 0.995)) or 1.0
    parameters: Json = {
        **_how(watch, settings),
        **about_metric(signal, settings),
        "clip": clip,
        "inverted": is_inverted(signal, settings),
        "head_start": head_start_of(watch),
        "block": 1,
    }
    limit = stated_limit(settings, signal)
    if watch.detector in OF_A_LIMIT and limit is not None:
        return rate_with_limit(limit, parameters)
    parameters |= {"learn": settings.learn}
    return Resolved("learning", _learning(parameters, "", 0, settings.learn), parameters)


def learn_from_steps(subject: Subject, steps: Steps) -> int:
    """Take first live steps for the reference; how many were taken."""
    settings = settings_of(subject.watch)
    taken = min(settings.learn - len(subject.learned_values), len(steps.values))
    subject.learned_values = np.concatenate((subject.learned_values, steps.values[:taken]))
    learned = len(subject.learned_values)
    if learned < settings.learn:
        subject.reason = _learning(subject.parameters, subject.subject, learned, settings.learn)
        return taken
    values, subject.learned_values = subject.learned_values, np.zeros(0)
    try:
        resolved, pool = _resolve(subject.watch, settings, subject.parameters, values)
    except DriftError as error:
        resolved, pool = Resolved("refused", f"The first steps cannot be used: {error}.", {}), None
    what = subject.parameters["steps"]
    subject.parameters = {
        **subject.parameters,
        **resolved.parameters,
        "reference": f"the first {learned} {what} that came: reference rows do not tell them",
        "reference_rows": learned,
    }
    subject.status, subject.reason = resolved.status, resolved.reason
    if resolved.status == "armed":
        subject.begin(pool)
    return taken


def _resolve(
    watch: Watch, settings: WatchSettings, parameters: Json, values: Floats
) -> tuple[Resolved, Floats | None]:
    if watch.detector == "ranks":
        return ranks_of(values)
    if watch.detector == "two-sided-mean":
        return two_sided_of(settings, values), None
    found: Json = {"reference_mean": float(values.mean())}
    if watch.tier is Tier.ROLLBACK:
        sentence = refusal(values, block=1)
        if sentence is not None:
            said = sentence.replace("blocks of 1", str(parameters["steps"])).partition(". Conf")[0]
            return Resolved("refused", f"{said}. Choose a longer unit.", found), None
    limit = upper_limit(values, confidence=settings.confidence, tolerance=settings.tolerance)
    armed = rate_with_limit(min(limit, MAX_LIMIT + 0.01), found)
    return armed, usual_steps(watch, found, values)


def _how(watch: Watch, settings: WatchSettings) -> Json:
    if is_of(watch.signal, AUC):
        count = settings.negatives or NEGATIVES
        return {
            "pairs": count,
            "steps": "positives",
            "unit": f"a positive against {count} negatives",
            "unit_reason": "Each score is used once, so each share is new evidence.",
        }
    key = _key(settings)
    return {
        "unit_key": settings.unit,
        "gap": settings.gap,
        "steps": f"units of {key}",
        "unit": f"mean of the rows of one {key}",
        "unit_reason": f"Rows of one {key} share their fate; it is complete when {settings.gap} "
        f"others came.",
    }


def _key(settings: WatchSettings) -> str:
    return "" if settings.unit is None else settings.unit.partition(".")[2]


def _has_no_end(watch: Watch, settings: WatchSettings, task: str) -> bool:
    return watch.detector == "two-sided-mean" or is_unbounded(watch.signal, settings, task)


def _learning(parameters: Json, subject: str, learned: int, wanted: int) -> str:
    told = f"learning: {learned} of {wanted} {parameters['steps']}"
    return f"{told}: too little traffic in this segment to test it yet" if "|" in subject else told
