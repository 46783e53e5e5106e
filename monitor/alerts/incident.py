"""The record of one alert from onset to recovery: one timeline of everything that happened."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from monitor.records import Json, Registry
from monitor.store.incidents import Traces


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    who: str
    what: str
    """onset, alarm, alert, remedy, route, automation or delivery."""
    sentence: str
    detail: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spans:
    """How long it took, in seconds; none for what has not happened or is not known."""

    onset_to_alert: float | None
    alert_to_act: float | None
    alert_to_recovery: float | None


def timeline(alert: Row[Any], traces: Traces, registry: Registry) -> list[Line]:
    """Everything that happened about an alert, in order of time."""
    lines = [
        *_onset(traces),
        *(_event(row, traces, registry) for row in traces.events),
        *(_shared(row) for row in traces.shared_events),
        *_acts(traces),
        *(_revision(row) for row in traces.revisions),
        *(_switch(row) for row in traces.switches),
        *_deliveries(traces),
    ]
    # Equal moments keep the order above: a remedy is decided after its alarm.
    return sorted(lines, key=lambda line: line.at)


def spans(alert: Row[Any], traces: Traces) -> Spans:
    """How long each part took."""
    onset = next((a.onset_at for a in traces.alarms if a.onset_at is not None), None)
    opened = traces.events[0].at if traces.events else alert.opened_at
    acted = min(
        (
            r.acted_at
            for r in (*traces.remedies, *traces.shared)
            if r.acted_at is not None and r.acted_at >= opened
        ),
        default=None,
    )
    return Spans(
        _seconds(onset, alert.opened_at),
        _seconds(opened, acted),
        _seconds(opened, alert.resolved_at),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _onset(traces: Traces) -> list[Line]:
    first = next((a for a in traces.alarms if a.onset_at is not None), None)
    if first is None:
        return []
    said = "estimated onset of the change"
    return [Line(first.onset_at, "monitor", "onset", said, {"alarm": first.id})]


def _event(row: Row[Any], traces: Traces, registry: Registry) -> Line:
    detail: Json = row.detail
    match row.event:
        case "opened" | "alarmed":
            return Line(row.at, row.actor, "alarm", _alarm(row, traces, registry), detail)
        case "remedied":
            why = f": {detail['reason']}" if detail.get("reason") else ""
            said = f"remedy {detail['remedy']} ({detail['kind']}) {detail['state']}{why}"
            said += f"; {detail['informed']}" if detail.get("informed") else ""
            return Line(row.at, row.actor, "remedy", said, detail)
        case "standing":
            said = f"remedy {detail['remedy']} ({detail['kind']}) of alert {detail['alert']} stands"
            return Line(row.at, row.actor, "remedy", f"{said}: {detail['state']}", detail)
        case "held_back":
            until = datetime.fromisoformat(detail["until"]).astimezone(UTC)
            said = f"{detail['event']} held back: silent until {until:%Y-%m-%d %H:%M:%S} UTC by "
            said += f"{detail['author']}: {detail['reason']}"
            return Line(row.at, row.actor, "alert", said, detail)
        case "declined":
            said = f"no {detail['kind']} by itself: {detail['reason']}"
            return Line(row.at, row.actor, "remedy", said, detail)
        case _:
            why = f": {detail['reason']}" if detail.get("reason") else ""
            return Line(row.at, row.actor, "alert", f"alert {row.event}{why}", detail)


def _shared(row: Row[Any]) -> Line:
    detail: Json = row.detail
    why = f": {detail['reason']}" if detail.get("reason") else ""
    said = f"remedy {detail['remedy']} ({detail['kind']}) of alert {row.alert_id} {detail['state']}"
    return Line(row.at, row.actor, "remedy", said + why, detail | {"alert": row.alert_id})


def _alarm(row: Row[Any], traces: Traces, registry: Registry) -> str:
    detail: Json = row.detail
    opened = "alert opened by" if row.event == "opened" else "alarm again of"
    said = f"{opened} watch {detail.get('watch')} (tier {detail.get('tier')})"
    alarm = next((a for a in traces.alarms if a.id == detail.get("alarm")), None)
    if alarm is None:
        return said
    if alarm.repeats:
        again = alarm.repeated_at.astimezone(UTC)
        times = "once, at" if alarm.repeats == 1 else f"{alarm.repeats} times until"
        said += f", said again {times} {again:%Y-%m-%d %H:%M:%S} UTC"
    after, before = alarm.evidence.get("after", {}), alarm.evidence.get("before", {})
    if after.get("mean") is not None:
        was = "" if before.get("mean") is None else f" from {before['mean']:.4g}"
        said += f": {registry.subject_name(alarm.subject)} went{was} to {after['mean']:.4g}"
    return f"{said}; statistic {alarm.statistic:.3g}, alarms at {alarm.threshold:.3g}"


def _acts(traces: Traces) -> list[Line]:
    return [
        Line(
            r.decided_at,
            "monitor",
            "remedy",
            f"remedy {r.id} ({r.kind}) decided on in mode {r.mode.value}, "
            f"step {r.step + 1} of {len(r.rule or [None])}",
            {"remedy": r.id, "follows": r.follows},
        )
        for r in traces.remedies
    ]


def _revision(row: Row[Any]) -> Line:
    policy: Json = row.policy
    serves = policy.get("champion") or policy["kind"]
    how = f", restoring revision {row.restores}" if row.restores is not None else ""
    why = f": {row.reason}" if row.reason else ""
    said = f"route at revision {row.revision}{how}: {serves} answers{why}"
    return Line(row.created_at, row.actor, "route", said, {"revision": row.revision})


def _switch(row: Row[Any]) -> Line:
    what = "all applications" if row.application_id is None else "the application"
    why = f": {row.reason}" if row.reason else ""
    said = f"automation of {what} switched {'on' if row.enabled else 'off'}{why}"
    return Line(row.at, row.actor, "automation", said, {"enabled": row.enabled})


def _deliveries(traces: Traces) -> list[Line]:
    return [
        Line(
            row.last_at,
            "monitor",
            "delivery",
            f"{row.event} {row.state} to webhook {row.webhook_id} after {row.attempts} attempts",
            {"delivery": str(row.id), "event": row.event, "state": row.state},
        )
        for row in traces.deliveries
        if row.last_at is not None
    ]
