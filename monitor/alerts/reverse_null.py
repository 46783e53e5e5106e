"""What must be shown false before an alert is over: the signal is as bad as when it alarmed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.alerts.text import number
from monitor.evaluation.detector_state import codes_for
from monitor.records import Alarm, Json, Watch

WIDTH = 4.0
"""Values further from the middle than so many standard deviations count as that far."""

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


def null_of(watch: Watch, alarm: Alarm) -> Null | None:
    """The reverse null of an alarm; none where its evidence gives no way to state one."""
    parameters = alarm.evidence["parameters"]
    if "pairs" in parameters and "limit" in parameters:
        least = number(1 - float(parameters["limit"]))
        return Null(
            {"kind": "pairs", "negatives": int(parameters["pairs"]), "scale": 1.0},
            float(parameters["limit"]),
            f"the AUC is at most {least}",
            f"the AUC is above {least}",
        )
    detector = alarm.evidence.get("detector", watch.detector)
    clip = float(parameters.get("clip") or 1.0)
    if detector == "bounded-mean" and "limit" in parameters:
        limit = float(parameters["limit"])
        inverted = bool(parameters.get("inverted"))
        said = number((1 - limit if inverted else limit) * clip)
        return Null(
            {"kind": "rate", "scale": clip, "falls": inverted},
            limit,
            f"the mean is {'at most' if inverted else 'at least'} {said}",
            f"the mean is {'above' if inverted else 'below'} {said}",
        )
    if detector == "paired-excess":
        margin = float(parameters["margin"])
        return Null(
            {"kind": "difference", "scale": clip},
            (margin + 1) / 2,
            f"the mean difference is at least {number(margin * clip)}",
            f"the mean difference is below {number(margin * clip)}",
        )
    if "codes" in parameters:
        return _category(alarm)
    if detector.startswith("randomised"):
        return None
    return _spread(alarm) if _is_spread(alarm) else _middle(alarm)


def _category(alarm: Alarm) -> Null | None:
    parameters, change = alarm.evidence["parameters"], alarm.evidence.get("change") or ""
    names = [*parameters["names"], "another known category", "an unseen category"]
    name = change.removesuffix(" became more frequent")
    before, after = alarm.evidence["before"]["mean"], alarm.evidence["after"]["mean"]
    if name not in names or before is None or after is None:
        return None
    middle = (before + after) / 2
    form = {
        "kind": "category",
        "codes": parameters["codes"],
        "known": parameters["known"],
        "stake": names.index(name),
    }
    said = f"the share of {name} is"
    told = number(middle, share=True)
    return Null(form, middle, f"{said} at least {told}", f"{said} below {told}")


def _deviation(interval: Json) -> float | None:
    steps, low, high = interval.get("steps") or 0, interval.get("low"), interval.get("high")
    if steps < 2 or low is None or high is None:
        return None
    return float((high - low) / 2 / 1.96 * steps**0.5)


def _middle(alarm: Alarm) -> Null | None:
    before, after = alarm.evidence["before"], alarm.evidence["after"]
    if before["mean"] is None or after["mean"] is None or before["mean"] == after["mean"]:
        return None
    gap = abs(after["mean"] - before["mean"])
    middle = (before["mean"] + after["mean"]) / 2
    known = [d for d in (_deviation(before), _deviation(after)) if d is not None]
    reach = WIDTH * max([gap, *known])
    rose = after["mean"] > before["mean"]
    form = {"kind": "linear", "low": middle - reach, "high": middle + reach, "falls": not rose}
    half = f"{number(middle)}, half way between before and after"
    beyond = f"values beyond {number(middle - reach)} and {number(middle + reach)} count as these"
    return Null(
        form,
        0.5,
        f"the mean is {'at least' if rose else 'at most'} {half}; {beyond}",
        f"the mean is {'below' if rose else 'above'} {half}",
    )


def _is_spread(alarm: Alarm) -> bool:
    return alarm.evidence.get("change") in ("values spread out", "values drew together")


def _spread(alarm: Alarm) -> Null | None:
    before, after = (_deviation(alarm.evidence[part]) for part in ("before", "after"))
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
    return Null(
        form,
        limit,
        f"the standard deviation is {'at least' if wider else 'at most'} {half}",
        f"the standard deviation is {'below' if wider else 'above'} {half}",
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
