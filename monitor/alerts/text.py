"""An alert in sentences that a person reads at night, in the order in which they are needed."""

from collections.abc import Iterator
from datetime import UTC, datetime

from monitor.records import Json

REMEDIES = {
    "roll_back": "roll back to the version before",
    "swap": "swap to another version",
    "change_share": "change the challenger's share",
    "promote": "promote the challenger",
    "stop_canary": "stop the canary",
    "retrain": "ask for a retraining",
    "challenge": "put a retrained version into the shadow",
    "notify": "tell people",
}
"""What a remedy does, in words."""

STATES = {
    "observed": "The monitor would {what}; its mode is observe, so it did nothing.",
    "proposed": "Remedy {id} is proposed: {what}. `leadsman remedies approve {id}` does it, "
    "`leadsman remedies reject {id}` drops it.",
    "decided": "Remedy {id} is decided: {what}. It is being carried out.",
    "approved": "Remedy {id} was approved: {what}. It is being carried out.",
    "acted": "Remedy {id} was carried out: {what}.",
    "held": "Remedy {id} ({what}) is held back: {reason}.",
    "failed": "Remedy {id} ({what}) failed: {reason}.",
    "rejected": "Remedy {id} ({what}) was rejected: {reason}.",
    "recovered": "Remedy {id} ({what}) helped: {reason}.",
    "not_recovered": "Remedy {id} ({what}) did not help: {reason}.",
    "superseded": "Remedy {id} ({what}) was overtaken: {reason}.",
    "in_force": "The route of remedy {id} is in force everywhere.",
    "not_in_force": "The route of remedy {id} is not in force everywhere: {reason}.",
    "declined": "The monitor does not {what} by itself: {reason}.",
}


def text_of(event: Json) -> str:
    """Tell an event's data, as `telling` makes them, in plain sentences."""
    return "\n".join(_lines(event)) + "\n"


def _lines(data: Json) -> Iterator[str]:
    heading = data["state"].upper() if data["state"] != "firing" else data["tier"].upper()
    yield f"{heading}: {data['what']}."
    if data.get("reason"):
        yield f"Why now: {_stop(data['reason'])}"
    if data.get("escalated"):
        yield f"Why again: {_stop(data['escalated'])}"
    counted = data["how_bad"].get("counted", "rows")
    yield f"Since when: {_since(data['since'], counted)}"
    yield f"How sure: {_sure(data['how_sure'])}"
    yield f"How bad: {_bad(data['how_bad'])}"
    yield f"Where: {_where(data['where'])}"
    yield f"What was done: {_done(data['done'], data.get('standing') or [])}"
    if data.get("inhibited_by"):
        yield (
            f"Alert {data['inhibited_by']} is worse and explains this one: nobody is told of it "
            "until that one resolves."
        )
    if data.get("recovery") and data["state"] != "resolved":
        yield f"How it ends: {_stop(data['recovery'])}"
    yield f"Look: {data['link']}"
    yield f"Runbook: {data['runbook']}"


def moment(text: str | None) -> str:
    """A moment as people write it: to the second, in UTC."""
    if text is None:
        return "an unknown time"
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _since(since: Json, counted: str) -> str:
    onset, alarmed = since.get("onset"), moment(since["alarmed_at"])
    if not onset:
        return f"the alarm came at {alarmed}; when it began is not known."
    ago = onset.get("observations_ago")
    rows = "" if ago is None else f", {_count(ago, counted)} before the alarm"
    least = "or earlier " if onset.get("is_oldest_kept") else ""
    return f"about {moment(onset['at'])} {least}(an estimate{rows} at {alarmed})."


def _sure(sure: Json) -> str:
    statistic = _confirmed(sure) if "confirmed" in sure else ""
    statistic += f"the test's statistic is {number(sure['statistic'])}, it alarms at "
    statistic += f"{number(sure['threshold'])}."
    unit = sure.get("unit")
    step = f" One step of the test is one {unit}." if unit and unit != "row" else ""
    limit = sure.get("limit_from")
    whence = f" The limit comes from {_stop(limit)}" if limit else ""
    return f"{statistic} {_stop(sure['promise'])}{whence}{step}"


def _confirmed(sure: Json) -> str:
    fresh = sure["confirmed"]["fresh_steps"]
    counted = _count(fresh, "rows" if sure.get("unit") == "row" else "steps")
    return (
        f"confirmed on {counted.replace(' ', ' fresh ', 1)} after {sure['confirmed']['opened_by']} "
        "suspected a change: "
    )


def _bad(bad: Json) -> str:
    measure, share = bad["measure"], bad["figure"] == "share"
    counted = bad.get("counted", "rows")
    before = _mean(bad["before"], counted, share=share)
    after = _mean(bad["after"], counted, share=share)
    change = f" ({bad['change']})" if bad.get("change") and not share else ""
    if before is None and after is None:
        return _stop(bad.get("change") or f"{measure}: no rows to tell it from")
    if before is None:
        return f"{measure}{change} is {after} since then; there is nothing before to compare with."
    when = "in the reference" if bad["before"].get("of") == "reference" else "before"
    told = f"{measure}{change} was {before} {when}; since then it is {after}."
    apart = bad.get("deviation") or {}
    if apart.get("before") is not None and apart.get("after") is not None:
        told += f" The standard deviation was {number(apart['before'])}; since then it is "
        told += f"{number(apart['after'])}."
    return told


def _mean(interval: Json, counted: str, *, share: bool) -> str | None:
    mean = interval.get("mean")
    if mean is None:
        return None
    rows = _count(interval.get("rows", 0), counted)
    low, high = interval.get("low"), interval.get("high")
    if low is None or high is None:
        few = interval.get("steps", 0) < 2  # of one nothing tells the spread
        why = "too few for an interval" if few else "all alike, which tells no interval"
        return f"{number(mean, share=share)} ({rows}: {why})"
    if share:
        # The mean of a few blocks has an interval that knows nothing of shares.
        low, high = max(low, 0.0), min(high, 1.0)
    level = interval.get("level", 0.95)
    return (
        f"{number(mean, share=share)} ({100 * level:.0f} % interval {number(low, share=share)} to "
        f"{number(high, share=share)}, {rows})"
    )


def _where(where: Json) -> str:
    place = f"{where['application']}, {where['versions']}"
    traffic = "" if where.get("segment") else ", all of its traffic"
    told = [f"{n}. {_moved(one)}" for n, one in enumerate(where.get("moved") or (), 1)]
    most = f" What moved most: {'; '.join(told)}." if told else ""
    return f"{place}{traffic} (watch {where['watch']}).{most}"


def _moved(one: Json) -> str:
    signal = str(one["signal"])
    family, _, member = signal.partition(".")
    share = family == "quality"
    told = {"feature": member, "quality": f"faulty values of {member}"}.get(family, signal)
    if one.get("segment"):
        told += f" where {one['segment']}"
    if one.get("category"):
        told, share = f"{told}: share of {one['category']}", True
    before, after = one.get("before"), one.get("after")
    if isinstance(before, int | float) and isinstance(after, int | float):
        told += f" from {number(before, share=share)} to {number(after, share=share)}"
    return told


def _done(done: list[Json], standing: list[Json]) -> str:
    mine = " ".join(_remedy(one) for one in done)
    if not standing:
        return mine or "nothing; this watch only tells people."
    theirs = " ".join(_of_another(one) for one in standing)
    return f"{mine or 'nothing by this watch itself.'} {theirs}"


def _of_another(one: Json) -> str:
    where = f", {one['from']} → {one['to']}" if one.get("to") else f" of {one['from']}"
    return f"For alert {one['alert']}, of the same version: {_remedy(one, where)}"


def _remedy(one: Json, where: str = "") -> str:
    kind = one["kind"]
    what, reason = f"{REMEDIES.get(kind, kind)}{where}", one.get("reason") or "no reason given"
    form = STATES.get(one["state"], "Remedy {id} ({what}) is {state}: {reason}.")
    said = form.format(
        id=one.get("remedy"), what=what, reason=reason.rstrip("."), state=one["state"]
    )
    return f"{said} But {_stop(one['informed'])}" if one.get("informed") else said


def number(value: float, *, share: bool = False) -> str:
    """A figure in three digits; a share in per cent."""
    if share:
        # What rounding leaves of a zero is a zero.
        return f"{100 * value if abs(value) >= 1e-9 else 0:.3g} %"
    if 1e3 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:.2e}"


def _count(rows: int, counted: str = "rows") -> str:
    return f"1 {ONE_OF.get(counted, counted)}" if rows == 1 else f"{rows} {counted}"


ONE_OF = {"rows": "row", "stretches of time": "stretch of time"}


def _stop(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."
