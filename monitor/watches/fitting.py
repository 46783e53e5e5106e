"""Which parts of a watch fit together: signal, detector, settings, tier and remedy."""

from collections.abc import Collection

from drift.streaming.river_adapter import NAMES as RIVER
from drift.streaming.river_adapter import OF_ERRORS
from monitor.errors import InvalidRequestError
from monitor.remedies import rules
from monitor.settings import Tier
from monitor.signals.base import (
    AUC,
    CANARY_DIFFERENCE,
    CHALLENGER_DIFFERENCE,
    COVERAGE,
    DELAY,
    FEATURES,
    LOSS,
    LOSS_DIFFERENCE,
    METRICS,
    OUTPUT,
    QUALITY,
    QUANTILE,
    SCORE,
    SERVICE,
    TRAFFIC,
    is_of,
)
from monitor.signals.metrics import OF_TASK
from monitor.watches.opener import check_opener
from monitor.watches.segment_bounds import MOST_SEGMENTS
from monitor.watches.watch import CONFIRM_GATE, GUARANTEED, OF_A_LIMIT, WatchForm, WatchSettings

DETECTORS = {
    LOSS: (*OF_A_LIMIT, "growing-pool", *RIVER),
    LOSS_DIFFERENCE: ("paired-excess",),
    CHALLENGER_DIFFERENCE: ("paired-promotion",),
    CANARY_DIFFERENCE: ("randomised-excess", "randomised-promotion"),
    OUTPUT: ("ranks", "tolerant-ranks"),
    SCORE: ("ranks", "tolerant-ranks"),
    DELAY: ("ranks", "tolerant-ranks"),
    COVERAGE: ("bounded-mean",),
    TRAFFIC: ("quiet",),
    FEATURES: ("ranks", "tolerant-ranks"),
    QUALITY: OF_A_LIMIT,
    SERVICE: OF_A_LIMIT,
    AUC: OF_A_LIMIT,
    QUANTILE: OF_A_LIMIT,
    METRICS: (*OF_A_LIMIT, "two-sided-mean"),
}
"""Which detectors fit which signal."""

_OF_MEANS = {"tolerance", "head_start", "learn", "clip", "segments", "most_segments", "unit", "gap"}
_OF_LIMITS = {"limit", "confidence", "block"}
SETTINGS = {
    "bounded-mean": _OF_MEANS | _OF_LIMITS,
    CONFIRM_GATE: (_OF_MEANS | _OF_LIMITS | {"opened_by", "opener", "patience"}) - {"head_start"},
    "two-sided-mean": _OF_MEANS,
    "growing-pool": {"head_start", "learn", "clip", "segments", "most_segments"},
    **{
        name: {"block", "clip", "segments", "most_segments"}
        for name in RIVER
        if name not in OF_ERRORS
    },
    **{name: {"segments", "most_segments"} for name in OF_ERRORS},
    "adwin": {"delta", "block", "clip", "segments", "most_segments"},
    "ranks": {"block", "learn", "segments", "most_segments", "unit", "gap"},
    "tolerant-ranks": {"tolerance", "block", "learn", "segments", "most_segments"},
    "paired-excess": {"margin", "head_start", "clip", "segments", "most_segments"},
    "paired-promotion": {"eps", "alpha", "clip", "segments", "most_segments"},
    "randomised-excess": {"margin", "head_start", "clip", "segments", "most_segments"},
    "randomised-promotion": {"eps", "alpha", "clip", "segments", "most_segments"},
    "quiet": {"quiet_after"},
}
"""Settings that a detector looks at; what it would not look at is refused."""

_BY_GATE = f", and acts as what opens a {CONFIRM_GATE}, named by its setting opened_by"

SERVICES = ("latency", "default", "error")

_LABELLED = {"mature_after", "independent_delay"}
_WHOLE = {"segments", "most_segments", "unit", "gap", "block"}
"""Settings about single rows: a stretch of time and an application have none."""


def settings_for(signal: str, detector: str) -> frozenset[str]:
    """Names of the settings that a watch of this signal by this detector looks at."""
    known = set(SETTINGS.get(detector, ()))
    family, _, member = signal.partition(".")
    if signal == LOSS or (family == "metric" and not is_of(signal, AUC)):
        known |= _LABELLED
    if family == "metric":
        known |= {"metric"} if member != "*" and not is_of(signal, AUC) else set()
        known |= {"least"} if detector in OF_A_LIMIT else set()
    if is_of(signal, QUANTILE):
        known |= {"quantile"}
    if is_of(signal, AUC):
        known = (known | {"negatives"}) - {"unit", "gap", "clip"}
    if signal == COVERAGE:
        known = (known | {"horizon"}) - _WHOLE
    return frozenset(known)


def detectors_for(signal: str) -> tuple[str, ...]:
    """Detectors that fit a signal, a member of a family too; none where there is no such signal."""
    if signal in DETECTORS:
        return DETECTORS[signal]
    for metric in (AUC, QUANTILE):
        if is_of(signal, metric):
            return DETECTORS[metric]
    family, _, member = signal.partition(".")
    if not member or "\x00" in member:
        return ()
    if family == "service" and member not in SERVICES:
        return ()
    return DETECTORS.get(f"{family}.*", ())


def check_form(form: WatchForm, *, where: str) -> None:
    """Refuse a watch whose parts do not fit together.

    Parameters
    ----------
    where
        Path of the watch, before the name of the field that is wrong.

    Raises
    ------
    InvalidRequestError
        If there is no such signal, the detector does not fit it, it would not look at a setting, or
        an alarm of a detector without a guarantee would act.
    """
    fits = detectors_for(form.signal)
    if not fits:
        known = ", ".join(sorted(DETECTORS))
        raise InvalidRequestError(f"{where}/signal", f"one of {known}, or a member", form.signal)
    if form.detector not in fits:
        fitting = " or ".join(fits)
        raise InvalidRequestError(
            f"{where}/detector", f"{fitting} for the signal {form.signal}", form.detector
        )
    _check_class(form.signal, where)
    _check_settings(form, where)
    settings = WatchSettings.model_validate(form.settings)
    _check_segments(form, settings, where)
    check_opener(form, settings, where)
    rule = form.rule or [{"kind": form.remedy}]
    may_act = form.detector in GUARANTEED
    if not may_act and rules.acts(rule):
        raise InvalidRequestError(
            f"{where}/remedy",
            f"notify and a tier of page or info: the detector has no guarantee{_BY_GATE}",
            rule[0]["kind"],
        )
    if not may_act and form.tier is Tier.ROLLBACK:
        raise InvalidRequestError(
            f"{where}/tier",
            f"page or info: the detector has no guarantee{_BY_GATE}",
            form.tier.value,
        )


def check_features(form: WatchForm, features: Collection[str], *, where: str) -> None:
    """Refuse a watch of a feature that its application does not have: it would be silent for good.

    Parameters
    ----------
    features
        Those of every input schema that the application had; none while it has no schema.
    where
        Path of the watch, before the name of the field that is wrong.

    Raises
    ------
    InvalidRequestError
        If a feature is not one of those.
    """
    family, _, member = form.signal.partition(".")
    segments = form.settings.get("segments") or {}
    named = [("settings/segments/by", str(segments.get("by", "")))]
    if family in ("feature", "quality") and member != "*":
        named.append(("signal", f"feature.{member}"))
    for field, name in named:
        kind, _, feature = name.partition(".")
        if kind == "feature" and features and feature not in features:
            expected = f"a feature of the application: {', '.join(sorted(features))}"
            raise InvalidRequestError(f"{where}/{field}", expected, feature)


def _check_class(signal: str, where: str) -> None:
    one = signal.removeprefix(f"{AUC}.")
    if signal != AUC and is_of(signal, AUC) and not (one.isascii() and one.isdigit()):
        expected = f"{AUC}, or {AUC}.CLASS with the number of the class's score, from 0"
        raise InvalidRequestError(f"{where}/signal", expected, signal)


def check_task(form: WatchForm, task: str, *, where: str) -> None:
    """Refuse a watch of a metric that the application's task has not.

    Parameters
    ----------
    task
        binary, multiclass or regression.

    Raises
    ------
    InvalidRequestError
        Naming the signal below `where`, with the metrics that there are.
    """
    family, _, member = form.signal.partition(".")
    if family != "metric" or member == "*" or form.settings.get("metric") is not None:
        return
    name, _, one = member.partition(".")
    there = OF_TASK[task]
    # Each class of two has the metrics of a class as well, but one AUC is that of both.
    of_class = task == "binary" and name in ("precision", "recall", "f1")
    if one and name != "quantile" and not of_class:
        fits = f"{name}.CLASS" in there
    else:
        fits = name in there
    if not fits:
        known = ", ".join(f"metric.{name}" for name in there)
        expected = f"a metric of {task}, {known}, or one of your own with the setting metric"
        raise InvalidRequestError(f"{where}/signal", expected, form.signal)


def _check_segments(form: WatchForm, settings: WatchSettings, where: str) -> None:
    most = MOST_SEGMENTS[form.tier]
    named = 0 if settings.segments is None else settings.segments.named
    for name, wanted in (("most_segments", settings.most_segments or 0), ("segments", named)):
        if wanted > most:
            raise InvalidRequestError(
                f"{where}/settings/{name}",
                f"at most {most} segments at the tier {form.tier.value}, whose budget they divide "
                f"(page and info take {MOST_SEGMENTS[Tier.PAGE]})",
                wanted,
            )


def _check_settings(form: WatchForm, where: str) -> None:
    looked_at = settings_for(form.signal, form.detector)
    for name, value in form.settings.items():
        if name not in looked_at and value is not None:
            known = ", ".join(sorted(looked_at))
            raise InvalidRequestError(
                f"{where}/settings/{name}",
                f"a setting of {form.detector} for the signal {form.signal}: {known}",
                value,
            )
    for one, other in (
        ("unit", "block"),
        ("limit", "least"),
        ("mature_after", "unit"),
        ("metric", "quantile"),
    ):
        both = form.settings.get(one) is not None and form.settings.get(other) is not None
        if both and form.settings[other] != "recommended":
            raise InvalidRequestError(
                f"{where}/settings/{other}", f"none beside {one}", form.settings[other]
            )
