"""What must be shown false before an alert is over: the signal is as bad as when it alarmed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from monitor.alerts import stretches
from monitor.alerts.detail import MORE_OFTEN, SPREADS, deviation, measure
from monitor.alerts.kinds import kind_of_alarm
from monitor.alerts.text import number
from monitor.evaluation.detector_state import codes_for
from monitor.records import Alarm, Json, Watch
from monitor.watches.watch import OF_A_LIMIT

WIDTH = 4.0
"""Values further from the middle than so many standard deviations count as that far."""

STRETCHED = ("service.latency", "service.default", "service.error")
"""Kinds of alert whose bad rows come in bursts, whatever the reference was like."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Null:
    """What the test rejects: the mean of the signal, brought into [0, 1], is at least a limit."""

    form: Json
    """How a value is brought into [0, 1], so that more is worse."""
    limit: float
    says: str
    over: str
    """What is the case once it is rejected."""
    line: float
    """The limit in the signal's own unit."""
    rises: bool = True
    """Whether more than the line is bad."""
    about: str = "mean"
    """What of the signal is asked: nulls about the same thing can be compared."""


def null_of(watch: Watch, alarm: Alarm) -> Null | None:
    """The reverse null of an alarm; none where its evidence gives no way to state one."""
    parameters = alarm.evidence["parameters"]
    name, figure = measure(kind_of_alarm(watch, alarm), alarm.evidence.get("change"), parameters)
    told = partial(number, share=figure == "share")
    if "pairs" in parameters and "limit" in parameters:
        limit = float(parameters["limit"])
        least, of = number(1 - limit), watch.signal.partition("auc.")[2]
        area = f"the AUC of class {of}" if of else "the AUC"
        return Null(
            {"kind": "pairs", "negatives": int(parameters["pairs"]), "scale": 1.0},
            limit,
            f"{area} is at most {least}",
            f"{area} is above {least}",
            limit,
            about="auc",
        )
    detector = alarm.evidence.get("detector", watch.detector)
    clip = float(parameters.get("clip") or 1.0)
    if detector in OF_A_LIMIT and "limit" in parameters:
        limit = float(parameters["limit"])
        inverted = bool(parameters.get("inverted"))
        said = told(limit * clip)
        if kind_of_alarm(watch, alarm) in STRETCHED:
            return Null(
                stretches.form_of(limit),
                stretches.HALF,
                f"in at least every other stretch of a minute or more {name} is at least {said}",
                f"{name} is below {said}",
                limit,
            )
        return Null(
            {"kind": "rate", "scale": clip, "falls": inverted},
            limit,
            f"{name} is at least {said}",
            f"{name} is below {said}",
            (1 - limit if inverted else limit) * clip,
            rises=not inverted,
        )
    if detector == "paired-excess":
        margin = float(parameters["margin"])
        said = told(margin * clip)
        return Null(
            {"kind": "difference", "scale": clip},
            (margin + 1) / 2,
            f"{name} is at least {said}",
            f"{name} is below {said}",
            margin * clip,
        )
    if "centre" in parameters:
        return _share(alarm, name, told, clip)
    if "codes" in parameters:
        return _category(alarm)
    if detector.startswith("randomised"):
        return None
    if alarm.evidence.get("change") in SPREADS:
        return _spread(alarm)
    return _middle(alarm, name, told)


def _share(alarm: Alarm, name: str, told: Callable[[float], str], clip: float) -> Null | None:
    """Of losses without a limit of their own."""
    middle = _half_way(alarm)
    if middle is None:
        return None
    rose = alarm.evidence["after"]["mean"] > alarm.evidence["before"]["mean"]
    limit = middle / clip
    return Null(
        {"kind": "rate", "scale": clip, "falls": not rose},
        limit if rose else 1 - limit,
        f"{name} is {'at least' if rose else 'at most'} {told(middle)}, {HALF_WAY}",
        f"{name} is {'below' if rose else 'above'} {told(middle)}, {HALF_WAY}",
        middle,
        rises=rose,
    )


def _category(alarm: Alarm) -> Null | None:
    parameters, change = alarm.evidence["parameters"], alarm.evidence.get("change") or ""
    names = [*parameters["names"], "another known category", "an unseen category"]
    name = change.removesuffix(MORE_OFTEN)
    if name not in names:
        return None
    middle = _half_way(alarm)
    if middle is None:
        return None
    form = {
        "kind": "category",
        "codes": parameters["codes"],
        "known": parameters["known"],
        "stake": names.index(name),
    }
    said = f"the share of {name} is"
    told = number(middle, share=True)
    return Null(
        form,
        middle,
        f"{said} at least {told}",
        f"{said} below {told}, {HALF_WAY}",
        middle,
        about=f"share of {name}",
    )


HALF_WAY = "half way back to what it was before"


def _half_way(alarm: Alarm) -> float | None:
    """Half way from before to the least that is known of how far it went; none without before.

    What came since the onset was chosen by the test for being far off, and may be a few rows: its
    mean alone would put the line so far out that what is still wrong lies on this side of it.
    """
    before, after = alarm.evidence["before"], alarm.evidence["after"]
    was, now = before["mean"], after["mean"]
    if was is None or now is None or was == now:
        return None
    near = after.get("low") if now > was else after.get("high")
    middle = (was + now) / 2
    least = middle if near is None else (max if now > was else min)(near, middle)
    return float((was + least) / 2)


def _middle(alarm: Alarm, name: str, told: Callable[[float], str]) -> Null | None:
    middle = _half_way(alarm)
    if middle is None:
        return None
    before, after = alarm.evidence["before"], alarm.evidence["after"]
    gap = abs(after["mean"] - before["mean"])
    known = [d for d in (deviation(before), deviation(after)) if d is not None]
    reach = WIDTH * max([gap, *known])
    rose = after["mean"] > before["mean"]
    form = {"kind": "linear", "low": middle - reach, "high": middle + reach, "falls": not rose}
    half = f"{told(middle)}, {HALF_WAY}"
    beyond = f"values beyond {number(middle - reach)} and {number(middle + reach)} count as these"
    return Null(
        form,
        0.5,
        f"{name} is {'at least' if rose else 'at most'} {half}; {beyond}",
        f"{name} is {'below' if rose else 'above'} {half}",
        middle,
        rises=rose,
    )


def _spread(alarm: Alarm) -> Null | None:
    before, after = (deviation(alarm.evidence[part]) for part in ("before", "after"))
    if before is None or after is None or before == after:
        return None
    middle = (before**2 + after**2) / 2
    most = WIDTH**2 * max(before, after) ** 2
    wider = after > before
    form = {
        "kind": "square",
        "centre": alarm.evidence["before"]["mean"],
        "most": most,
        "falls": not wider,
    }
    limit = middle / most if wider else 1 - middle / most
    half = f"{number(middle**0.5)}, between that of before and after"
    said = "the standard deviation of one step is"
    return Null(
        form,
        limit,
        f"{said} {'at least' if wider else 'at most'} {half}",
        f"{said} {'below' if wider else 'above'} {half}",
        middle**0.5,
        rises=wider,
        about="spread",
    )


def badness(form: Json, values: Floats) -> Floats:
    """Values in [0, 1], more being worse, as a test's form says."""
    scaled: Floats
    match form["kind"]:
        case "rate" | "pairs":
            scaled = np.clip(values / form["scale"], 0.0, 1.0)
        case "difference":
            scaled = (np.clip(values / form["scale"], -1.0, 1.0) + 1.0) / 2
        case "category":
            scaled = (codes_for(form, values) == form["stake"]).astype(np.float64)
        case "linear":
            width = form["high"] - form["low"]
            scaled = np.clip((values - form["low"]) / width, 0.0, 1.0)
        case _:
            scaled = np.minimum(np.square(values - form["centre"]) / form["most"], 1.0)
    return 1.0 - scaled if form.get("falls") else scaled
