"""Is the cause of an alert gone? A test of the reverse null on what came after its last alarm.

Silence of the detector that alarmed proves nothing: it starts anew after an alarm, and a pool of
ranks has taken the new values in. So another test starts with every alarm. Its null hypothesis is
that the signal is as bad as before; it resolves the alert when that is rejected.

Notes
-----
The sum of the grants over all steps and all alarms of an alert is `ALPHA`, so an alert whose cause
never goes away is resolved by the test with a probability of at most `ALPHA`, however long it
stays open. Grants fall like 1/j², so a recovery long after the alarm is found too, some steps
later.
"""

import base64
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from drift.catalog import create
from monitor.alert_text import number
from monitor.detector_state import codes_for
from monitor.kinds import CHALLENGER_BETTER, kind_of_alarm
from monitor.moments import to_micros
from monitor.records import Alarm, Alert, Json, Registry, Watch
from monitor.settings import Settings
from monitor.signals import Extracted
from monitor.signals.base import SERVICE, TRAFFIC, Observations, observed
from monitor.store import alerts as alert_store
from monitor.telling import MONITOR, close_alert

ALPHA = 0.01
"""Probability that an alert is resolved by the test although its cause is never gone."""
ROOM = 1e-3
"""A limit closer to 0 or 1 than this leaves the test no room."""
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


def begin(watch: Watch, alarm: Alarm, attempt: int) -> Json:
    """Start the test that goes with an alarm.

    Parameters
    ----------
    attempt
        Which alarm of its alert it is, from 1.

    Returns
    -------
    dict
        The test's settings and state; with `says`, a sentence for people.
    """
    kind = kind_of_alarm(watch, alarm)
    signal = alarm.evidence.get("signal", watch.signal)
    made: Json = {
        "signal": signal,
        "subject": alarm.subject,
        "after_us": to_micros(alarm.alarmed_at),
        "attempt": attempt,
        "guaranteed": alarm.evidence["guaranteed"],
    }
    if signal == TRAFFIC:
        return made | {
            "form": {"kind": "any"},
            "says": "it resolves with the next request.",
        }
    null = None if kind == CHALLENGER_BETTER else null_of(watch, alarm)
    if null is None:
        return made | {
            "form": None,
            "says": "no test tells that it is over; it resolves when the version leaves service, "
            "or by your word.",
        }
    alpha = ALPHA / (attempt * (attempt + 1))
    return made | {
        "form": null.form,
        "limit": min(max(null.limit, ROOM), 1 - ROOM),
        "alpha": alpha,
        "block": _block(alarm.evidence["parameters"]),
        "null": null.says,
        "over": null.over,
        "says": f"it resolves by itself once the rows since the alarm show that {null.over} (by a "
        f"test that is wrong with a probability of at most {number(alpha, share=True)}).",
        "steps": 0,
        "rows": 0,
        "total": 0.0,
        "statistic": 0.0,
        "threshold": 1.0,
        "rest": [],
        "state": None,
    }


def after(watch: Watch, alarm: Alarm, before: Json | None) -> Json:
    """The test that goes with an alarm of an alert that has one already, or none.

    What an alarm with a guarantee was about is not given up for what one without says later.
    """
    if before is None:
        return begin(watch, alarm, 1)
    if before.get("form") and before.get("guaranteed") and not alarm.evidence["guaranteed"]:
        return begin_again(before, alarm.alarmed_at)
    return begin(watch, alarm, before["attempt"] + 1)


def begin_again(test: Json, at: datetime) -> Json:
    """Count from a moment at which the cause was seen to last. What the test holds against the
    null is kept, and with it the bound on its error."""
    return test | {"after_us": to_micros(at), "rows": 0, "total": 0.0}


BLOCK_OF_UNITS = 50
"""Rows of one step where the alarm was about units: they are not told apart here, so that the step
must be long against them."""


def _block(parameters: Json) -> int:
    if "unit_key" in parameters:
        return BLOCK_OF_UNITS
    return int(parameters.get("block", 1))


def null_of(watch: Watch, alarm: Alarm) -> Null | None:
    """The reverse null of an alarm; none where its evidence gives no way to state one."""
    parameters = alarm.evidence["parameters"]
    if "pairs" in parameters:
        # What alarmed were shares of pairs, and no row tells one.
        return None
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
        case "rate":
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


def advance(test: Json, values: Floats) -> tuple[Json, bool]:
    """Feed values that came after the alarm; the test after them, and whether it rejects."""
    if not len(values) or not test["form"]:
        return test, False
    if test["form"]["kind"] == "any":
        return test | {"rows": len(values)}, True
    block = test["block"]
    whole = np.concatenate((np.array(test["rest"], np.float64), badness(test["form"], values)))
    steps = whole[: len(whole) // block * block].reshape(-1, block).mean(axis=1)
    after = test | {
        "rows": test["rows"] + len(values),
        "total": test["total"] + float(values.sum()),
        "rest": whole[len(steps) * block :].tolist(),
    }
    if not len(steps):
        return after, False
    detector = create(
        "bounded-mean", {"limit": 1 - test["limit"], "head_start": 0.0, "averaged": block > 1}
    )
    if test["state"] is not None:
        detector.restore(base64.b64decode(test["state"]))
    place = test["steps"] + 1 + np.arange(len(steps))
    update = detector.update(1.0 - steps, (test["alpha"] / (place * (place + 1)))[:, None])
    rejects = bool(update.alarms)
    after |= {
        "steps": test["steps"] + len(steps),
        "statistic": update.alarms[0].statistic if rejects else float(update.statistic[-1, 0]),
        "state": base64.b64encode(detector.to_bytes()).decode(),
    }
    return after, rejects


async def test_recovery(
    connection: AsyncConnection, extracted: Extracted, registry: Registry, settings: Settings
) -> None:
    """Test every open alert on what a turn brought it, and resolve those whose cause is gone."""
    if not extracted:
        return
    del settings  # the error rate of the test is fixed
    touched = sorted({application for application, _ in extracted})
    for alert in reversed(await alert_store.read_open(connection, touched)):
        test = alert.recovery
        if test is None or not test.get("form"):
            continue
        values = _since(alert, test, extracted)
        if not len(values):
            continue
        after, recovered = advance(test, values)
        changed = replace(alert, recovery=after)
        await alert_store.save_recovery(connection, alert.id, after)
        if recovered:
            application = registry.applications[alert.application_id]
            await close_alert(connection, changed, application, MONITOR, _told(after))


def _told(test: Json) -> str:
    if test["form"]["kind"] == "any":
        return f"requests come again: {test['rows']}"
    # Codes of categories have no mean.
    mean = number(test["total"] / test["rows"])
    of = "" if test["form"]["kind"] == "category" else f", of mean {mean},"
    return (
        f"{test['rows']} rows since the alarm{of} show that {test['over']} (test of recovery: "
        f"statistic {number(test['statistic'])}, threshold 1)"
    )


def _since(alert: Alert, test: Json, extracted: Extracted) -> Floats:
    application, signal = alert.application_id, test["signal"]
    found: Observations | None
    if signal == TRAFFIC:
        found = extracted.get((application, SERVICE))
    else:
        found = observed(extracted, application, signal)
    if found is None or test["subject"] not in found.names:
        return np.zeros(0)
    mine = (found.code == found.names.index(test["subject"])) & (found.at > test["after_us"])
    return np.asarray(found.value[mine], np.float64)
