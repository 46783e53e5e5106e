"""Is the cause of an alert gone? A test of the reverse null on what came after its last alarm.

Silence of the detector that alarmed proves nothing: it starts anew after an alarm, and a pool of
ranks has taken the new values in. So another test starts with every alarm. Its null hypothesis is
that the signal is as bad as before; it resolves the alert when that is rejected.

Notes
-----
The sum of the grants over all steps and all alarms of an alert is `ALPHA`, so an alert whose cause
never goes away is resolved by the test with a probability of at most `ALPHA`, however long it
stays open. Grants fall like 1/j², so a recovery long after the alarm is found too, some steps
later. Steps are rows or blocks of rows, as the watch that alarmed takes them; of a service they are
stretches of time.
"""

import base64
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from drift.catalog import create
from drift.means.auc import AucPairs
from monitor.alerts import stretches
from monitor.alerts.kinds import CHALLENGER_BETTER, kind_of_alarm
from monitor.alerts.reverse_null import badness, null_of
from monitor.alerts.telling import MONITOR, close_alert
from monitor.alerts.text import number
from monitor.feed.maturing import NO_TIMES, NO_VALUES
from monitor.moments import to_micros
from monitor.records import Alarm, Alert, Json, Registry, Watch
from monitor.signals import Extracted
from monitor.signals.base import COVERAGE, SERVICE, TRAFFIC, Observations, observed
from monitor.store import alerts as alert_store
from monitor.wall_clock import Clock

ALPHA = 0.01
"""Probability that an alert is resolved by the test although its cause is never gone."""
ROOM = 1e-3
"""A limit closer to 0 or 1 than this leaves the test no room."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
        pause = float(alarm.evidence["parameters"]["quiet_after"])
        return made | {
            "form": {"kind": "any", "pause_s": pause},
            "says": f"it resolves once requests have come for {number(pause)} seconds without a "
            "pause as long as that.",
        }
    null = None if kind == CHALLENGER_BETTER else null_of(watch, alarm)
    if null is None:
        return made | {
            "form": None,
            "says": "no test tells that it is over; it resolves when the version leaves service, "
            "or by your word.",
        }
    alpha = _alpha(attempt)
    return (
        made
        | {
            "form": null.form,
            "limit": min(max(null.limit, ROOM), 1 - ROOM),
            "alpha": alpha,
            "block": step_rows(alarm.evidence["parameters"]),
            "null": null.says,
            "over": null.over,
            "line": null.line,
            "rises": null.rises,
            "about": null.about,
            "says": _says(null.form, null.over, alpha),
        }
        | BEGUN
    )


BEGUN: Json = {
    "steps": 0,
    "rows": 0,
    "granted": 0,
    "good": None,
    "total": 0.0,
    "statistic": 0.0,
    "threshold": 1.0,
    "rest": [],
    "state": None,
}
"""State of a test that has seen nothing."""


def after(watch: Watch, alarm: Alarm, before: Json | None) -> Json:
    """The test that goes with an alarm of an alert that has one already, or none.

    What an alarm with a guarantee was about is not given up for what one without says later, and
    what must be shown is not eased by another alarm: several watches may look at one signal, and
    the second alarm of one may rest on a few rows that are further off than the rest.
    """
    if before is None:
        return begin(watch, alarm, 1)
    if before.get("form") and before.get("guaranteed") and not alarm.evidence["guaranteed"]:
        return begin_again(before, alarm.alarmed_at)
    made = begin(watch, alarm, before["attempt"] + 1)
    if _is_by_time(before) and before["form"] == made["form"]:
        # It asks the same, and has all requests since the first alarm in it.
        return before
    if not _eases(before, made):
        return made
    kept = {name: before[name] for name in ("form", "limit", "null", "over", *COMPARED)}
    alpha = _alpha(made["attempt"])
    more = {"alpha": alpha, "block": max(before["block"], made.get("block", 1))}
    return (
        before | made | kept | more | BEGUN | {"says": _says(before["form"], before["over"], alpha)}
    )


COMPARED = ("line", "rises", "about")
"""Parts of a test by which it is seen whether another asks for less."""


def _eases(before: Json, made: Json) -> bool:
    """Whether a new test would resolve where the one before does not."""
    if not before.get("form") or before.get("line") is None:
        return False
    if not made["form"]:
        return True
    if any(before[name] != made[name] for name in ("rises", "about")):
        return False
    further: bool = made["line"] > before["line"]
    return further if before["rises"] else bool(made["line"] < before["line"])


def _alpha(attempt: int) -> float:
    return ALPHA / (attempt * (attempt + 1))


def _is_by_time(test: Json) -> bool:
    return bool(test.get("form")) and test["form"]["kind"] in ("stretches", "any")


def _says(form: Json, over: str, alpha: float) -> str:
    if form["kind"] == "stretches":
        return (
            f"it resolves by itself once stretches of a minute, or of {form['rows']} requests "
            f"where these take longer, show that {over} (by a test that is wrong with a "
            f"probability of at most {number(alpha, share=True)} where what lasts shows in every "
            f"other stretch)."
        )
    return (
        f"it resolves by itself once what came since the alarm shows that {over} (by a test that "
        f"is wrong with a probability of at most {number(alpha, share=True)})."
    )


def begin_again(test: Json, at: datetime) -> Json:
    """Count from a moment at which the cause was seen to last. What the test holds against the
    null is kept, and with it the bound on its error. Stretches of time have the rows of the alarm
    in them already."""
    if _is_by_time(test):
        return test
    return test | {"after_us": to_micros(at), "rows": 0, "total": 0.0}


LONG_BLOCK = 50
"""Rows of one step where units are not told apart, or how rows depend on each other is not known
yet: the step must be long against that. Taken by row, a stretch in which a bad version happens to
err no more than the other looks like so much evidence."""


def step_rows(parameters: Json) -> int:
    """Rows of one step of a test that comes after an alarm with these parameters."""
    if any(name in parameters for name in ("unit_key", "look_at", "centre")):
        return LONG_BLOCK
    return int(parameters.get("block", 1))


def advance(test: Json, values: Floats, at: Ints) -> tuple[Json, bool]:
    """Feed values that came after the alarm; the test after them, and whether it rejects.

    Parameters
    ----------
    values : shape (n,), or (n, 2) of an AUC
        Values of the signal; scores, and 1 beside the score of a positive.
    at : shape (n,)
        When each came to be known, microseconds since 1970.
    """
    if not len(values) or not test["form"]:
        return test, False
    if test["form"]["kind"] == "any":
        run, again = stretches.come_again(test["form"], test.get("run"), np.sort(at))
        return test | {"rows": test.get("rows", 0) + len(values), "run": run}, again
    if test["form"]["kind"] == "stretches":
        return _advance_by_time(test, values, at)
    block, rows = test["block"], len(values)
    if test["form"]["kind"] == "pairs":
        test, values = _paired(test, values)
    whole = np.concatenate((np.array(test["rest"], np.float64), badness(test["form"], values)))
    steps = whole[: len(whole) // block * block].reshape(-1, block).mean(axis=1)
    after = test | {
        "rows": test["rows"] + rows,
        "total": test["total"] + float(values.sum()),
        "rest": whole[len(steps) * block :].tolist(),
    }
    place = test["steps"] + 1 + np.arange(len(steps))
    # A share of many predictions stays close to its expectation, as a mean of many rows does.
    averaged = block > 1 or test["signal"] == COVERAGE
    return _bet(after, steps, test["alpha"] / (place * (place + 1)), averaged=averaged)


def _advance_by_time(test: Json, values: Floats, at: Ints) -> tuple[Json, bool]:
    form = test["form"]
    left = stretches.Stretch(*test["rest"]) if test["rest"] else None
    *whole, left = stretches.cut(form, left, at, values)
    bad = np.array([one.is_bad(form["share"]) for one in whole], np.float64)
    good, granted = test["good"], test["granted"]
    was_bad = test["steps"] > 0 and good is None
    grants, granted = stretches.grants(test["alpha"], granted, was_bad, bad)
    for one in whole:
        good = None if one.is_bad(form["share"]) else stretches.added(good, one)
    after = test | {
        "good": good,
        "granted": granted,
        "rows": test["rows"] + len(values),
        "total": test["total"] + float(values.sum()),
        "rest": [left.from_us, left.rows, left.bad] if left.rows else [],
    }
    return _bet(after, bad, grants, averaged=True)


def _bet(after: Json, steps: Floats, grants: Floats, *, averaged: bool) -> tuple[Json, bool]:
    if not len(steps):
        return after, False
    detector = create(
        "bounded-mean", {"limit": 1 - after["limit"], "head_start": 0.0, "averaged": averaged}
    )
    if after["state"] is not None:
        detector.restore(base64.b64decode(after["state"]))
    update = detector.update(1.0 - steps, grants[:, None])
    rejects = bool(update.alarms)
    return after | {
        "steps": after["steps"] + len(steps),
        "statistic": update.alarms[0].statistic if rejects else float(update.statistic[-1, 0]),
        "state": base64.b64encode(detector.to_bytes()).decode(),
    }, rejects


def _paired(test: Json, rows: Floats) -> tuple[Json, Floats]:
    """Shares of fresh negatives above each positive; scores that wait stay with the test."""
    pairs = AucPairs(test["form"]["negatives"])
    if test.get("pairs"):
        pairs.restore(base64.b64decode(test["pairs"]))
    shares, _ = pairs.push(rows[:, 0], rows[:, 1])
    return test | {"pairs": base64.b64encode(pairs.to_bytes()).decode()}, shares


async def test_recovery(
    connection: AsyncConnection, extracted: Extracted, registry: Registry, clock: Clock
) -> None:
    """Test every open alert on what a turn brought it, and resolve those whose cause is gone."""
    if not extracted:
        return
    touched = sorted({application for application, _ in extracted})
    for alert in reversed(await alert_store.read_open(connection, touched)):
        test = alert.recovery
        if test is None or not test.get("form"):
            continue
        values, at = _since(alert, test, extracted)
        if not len(values):
            continue
        after, recovered = advance(test, values, at)
        changed = replace(alert, recovery=after)
        await alert_store.save_recovery(connection, alert.id, after)
        if recovered:
            application = registry.applications[alert.application_id]
            said = _told(after)
            await close_alert(connection, changed, application, MONITOR, said, clock=clock)


def _told(test: Json) -> str:
    kind = test["form"]["kind"]
    if kind == "any":
        pause = number(test["form"].get("pause_s", 0))
        return f"requests come again, {test['rows']} so far, without a pause of {pause} seconds"
    by = f"(test of recovery: statistic {number(test['statistic'])}, threshold 1)"
    if kind == "stretches":
        return f"{stretches.told(test['good'], test['over'])} {by}"
    mean = f", of mean {number(test['total'] / test['rows'])},"
    if kind == "pairs":
        mean = f", of AUC {number(1 - test['total'] / test['steps'])},"
    # Codes of categories have no mean.
    of = "" if kind == "category" else mean
    return f"{test['rows']} rows since the alarm{of} show that {test['over']} {by}"


def _since(alert: Alert, test: Json, extracted: Extracted) -> tuple[Floats, Ints]:
    application, signal = alert.application_id, test["signal"]
    found: Observations | None
    if signal == TRAFFIC:
        found = extracted.get((application, SERVICE))
    else:
        found = observed(extracted, application, signal)
    if found is None:
        return NO_VALUES, NO_TIMES
    mine = found.at > test["after_us"]
    if signal != TRAFFIC:
        # Requests are what they are, whichever version answers them.
        if test["subject"] not in found.names:
            return NO_VALUES, NO_TIMES
        mine &= found.code == found.names.index(test["subject"])
    values = np.asarray(found.value[mine], np.float64)
    if test["form"]["kind"] == "pairs":
        assert found.dealt is not None
        values = np.column_stack([values, found.dealt[mine, 0]])
    return values, found.at[mine]
