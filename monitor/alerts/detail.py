"""What an alarm says, in the order in which a person needs it."""

from monitor.alerts.kinds import (
    CHALLENGER_BETTER,
    Figure,
    member_of,
    segment_of,
    sort_of,
    version_of,
)
from monitor.records import Alarm, Application, Json, Registry, Watch

SHARES = ("quality", "service.latency", "service.default", "service.error", "label.coverage")
"""Kinds whose means are shares of rows."""


def title(kind: str, alarm: Alarm, application: Application, registry: Registry) -> str:
    """What is wrong, in one line."""
    segment = segment_of(alarm.subject)
    where = f" where {segment}" if segment else ""
    return f"{application.name}: {_sentence(kind, alarm, application, registry)}{where}"


def _sentence(kind: str, alarm: Alarm, application: Application, registry: Registry) -> str:
    evidence, member = alarm.evidence, member_of(kind)
    names = registry.subject_name(alarm.subject.partition("|")[0]).split(" against ")
    new, old = names[0], names[-1]
    mean = evidence["after"].get("mean")
    change = evidence.get("change")
    share = "more" if mean is None else f"{100 * mean:.3g} %"
    by = "" if mean is None else f", by {abs(mean):.3g} a row"
    guaranteed = evidence.get("guaranteed", True)
    within = (
        f" of {application.latency_objective_ms} ms" if application.latency_objective_ms else ""
    )
    sentences = {
        "loss": f"{new} errs {'more than it should' if guaranteed else 'otherwise than before'}",
        "loss_difference": f"{new} errs more than {old} on the same rows{by}",
        "canary_difference": f"{new} errs more than {old} on rows dealt by lot{by}",
        CHALLENGER_BETTER: f"{new} errs less than {old} on the same rows{by}: it could be champion",
        "feature": f"feature {member} of requests to {new} changed: {change or 'no more is known'}",
        "output": f"the answers of {new} changed: {_answered(change)}",
        "score": f"the scores of {new} changed: {change or 'no more is known'}",
        "quality": f"feature {member} is {_FAULTY} in {share} of requests to {new}",
        "service.latency": f"{share} of answers of {new} take longer than the objective{within}",
        "service.default": f"{share} of requests to {new} get the default answer",
        "service.error": f"{share} of requests to {new} fail in the model",
        "service.traffic": f"requests to {new} have stopped",
        "label.delay": f"labels of {new} {_DELAYS.get(change or '', f'{_OTHERWISE}: {change}')}",
        "label.coverage": f"{share} of predictions of {new} get no label in time",
        "metric": _of_metric(member, new, evidence.get("parameters") or {}),
    }
    return sentences.get(sort_of(kind), f"{kind} of {new} changed")


_DELAYS = {"values rose": "come later than before", "values fell": "come sooner than before"}
_OTHERWISE = "take another time to come than before"


def _of_metric(member: str, version: str, parameters: Json) -> str:
    if "quantile" in parameters:
        about = f"forecasts of the {parameters['quantile']:g} quantile by {version}"
        return f"{about} are worse than they should be"
    return f"{member} of {version} is worse than it should be"


_FAULTY = "missing, out of range or never seen before"


def _answered(change: str | None) -> str:
    if change is None:
        return "no more is known"
    return f"answer {change}" if change.endswith(MORE_OFTEN) else change


MORE_OFTEN = " became more frequent"
"""End of what is said of a category."""


def measure(kind: str, change: str | None, parameters: Json | None = None) -> tuple[str, Figure]:
    """What before and after are means of, and how they read.

    Parameters
    ----------
    parameters
        Of the alarm's test: whether what a metric lacks is tested is told by them.
    """
    member, sort = member_of(kind), sort_of(kind)
    lacks = parameters is not None and (parameters.get("inverted") or "pairs" in parameters)
    metric = f"what {member} lacks to 1" if lacks else f"the mean of {member}"
    if parameters is not None and "quantile" in parameters:
        metric = f"the mean loss of forecasts of the {parameters['quantile']:g} quantile"
    names: dict[str, str] = {
        "loss": "the mean loss",
        "loss_difference": "the difference of the losses on the same rows",
        "canary_difference": "the difference of the losses",
        CHALLENGER_BETTER: "the difference of the losses on the same rows",
        "feature": f"the mean of {member}",
        "output": "the mean of the answers",
        "score": "the mean score",
        "quality": f"the share of requests in which {member} is {_FAULTY}",
        "service.latency": "the share of late answers",
        "service.default": "the share of default answers",
        "service.error": "the share of failed requests",
        "service.traffic": "the pause between requests",
        "label.delay": _of_delays(parameters or {}),
        "label.coverage": "the share of predictions without a label in time",
        "metric": metric,
    }
    if change is not None and change.endswith(MORE_OFTEN):
        return f"the share of {change.removesuffix(MORE_OFTEN)}", "share"
    return names.get(sort, f"the mean of {kind}"), "share" if sort in SHARES else "number"


def _of_delays(parameters: Json) -> str:
    """Of predictions that have just grown old enough the slowest labels are still to come."""
    if not parameters.get("age_us"):
        return "the mean delay of labels in seconds"
    minutes = f"{parameters['age_us'] / 6e7:.0f} minutes"
    return f"the mean delay in seconds of labels that came within {minutes}"


def deviation(interval: Json) -> float | None:
    """Standard deviation of a step, from the interval of the steps' mean; none without one."""
    steps, low, high = interval.get("steps") or 0, interval.get("low"), interval.get("high")
    if steps < 2 or low is None or high is None:
        return None
    return float((high - low) / 2 / 1.96 * steps**0.5)


SPREADS = ("values spread out", "values drew together")
"""Changes that show in how far values lie apart and not in their mean."""


def detail(
    watch: Watch,
    alarm: Alarm,
    *,
    alarm_id: int,
    kind: str,
    application: Application,
    registry: Registry,
) -> Json:
    """The alert as JSON; `text` makes sentences of it."""
    evidence = alarm.evidence
    change = evidence.get("change")
    name, figure = measure(kind, change, evidence["parameters"])
    version = version_of(alarm.subject)
    return {
        "what": title(kind, alarm, application, registry),
        "since": {"alarmed_at": alarm.alarmed_at.isoformat(), "onset": evidence["onset"]},
        "how_sure": {
            "statistic": alarm.statistic,
            "threshold": alarm.threshold,
            "promise": evidence["promise"],
            "guaranteed": evidence["guaranteed"],
            "budget_per_year": evidence["budget_per_year"],
            "unit": evidence["unit"],
            "unit_reason": evidence["unit_reason"],
            **({"confirmed": evidence["confirmed"]} if "confirmed" in evidence else {}),
            **_limit_from(kind, evidence["parameters"]),
        },
        "how_bad": {
            "measure": name,
            "figure": figure,
            "change": change,
            "before": evidence["before"],
            "after": evidence["after"],
            "deviation": None
            if change not in SPREADS
            else {part: deviation(evidence[part]) for part in ("before", "after")},
            "counted": "stretches of time" if kind == "label.coverage" else "rows",
        },
        "where": {
            "application": application.name,
            "subject": alarm.subject,
            "versions": registry.subject_name(alarm.subject),
            "version": registry.subject_name(version),
            "segment": segment_of(alarm.subject),
            "watch": watch.name,
            "signal": evidence.get("signal", watch.signal),
            "moved": evidence.get("moved") or [],
        },
        "done": [],
        "link": None,
        "runbook": f"docs/runbook.md#{anchor(kind)}",
        "alarm": alarm_id,
    }


def _limit_from(kind: str, parameters: Json) -> Json:
    """Where the limit of a loss or a metric comes from, if it is neither set nor that of the
    version's reference rows."""
    told = parameters.get("reference") if "limit" in parameters else None
    return {"limit_from": told} if told and sort_of(kind) in ("loss", "metric") else {}


ORDER = ("what", "since", "how_sure", "how_bad", "where", "done", "standing", "link")
"""Parts of an alert in the order in which a person needs them."""


def ordered(told: Json) -> Json:
    """The same with its parts in order: Postgres keeps the keys of JSON in an order of its own."""
    first = {name: told[name] for name in ORDER if name in told}
    return first | {name: value for name, value in told.items() if name not in first}


def anchor(kind: str) -> str:
    """Heading of the runbook about a kind, as links name it."""
    return f"alert-{sort_of(kind).replace('.', '-').replace('_', '-')}"
