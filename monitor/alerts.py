"""What people are told: one alert for one cause, and the states it goes through.

::

    nothing ──unguaranteed alarm──▶ pending ──guaranteed alarm──▶ firing
    acknowledged ──graver alarm──▶ firing
    nothing ──guaranteed alarm──▶ firing ──somebody takes it──▶ acknowledged
    pending, firing, acknowledged ──recovered, out of service, or an operator──▶ resolved
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitor.errors import InvalidTransitionError
from monitor.records import Alarm, Alert, Json, Registry, Watch
from monitor.settings import Tier
from monitor.watches import kind_of

State = Literal["pending", "firing", "acknowledged", "resolved"]
GRAVITY = {Tier.INFO: 0, Tier.PAGE: 1, Tier.ROLLBACK: 2}
"""Which tier outranks which."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one event makes of an alert."""

    state: State
    tier: Tier
    event: str
    """Line in the alert's history: opened, alarmed, acknowledged, resolved."""
    delivery: str | None
    """Event that webhooks are told of; none where people know enough already."""


def on_alarm(
    state: State | None, tier: Tier | None, alarm_tier: Tier, *, guaranteed: bool
) -> Change:
    """An alarm came for an open alert, or for none (`state` is None)."""
    if state is None or tier is None or state == "resolved":
        opened: State = "firing" if guaranteed else "pending"
        return Change(opened, alarm_tier, "opened", f"alert.{opened}")
    graver = GRAVITY[alarm_tier] > GRAVITY[tier]
    worst = alarm_tier if graver else tier
    if guaranteed and (state == "pending" or graver):
        return Change("firing", worst, "alarmed", "alert.firing")
    return Change(state, worst, "alarmed", None)


def acknowledge(state: State, tier: Tier) -> Change:
    """Somebody has taken it in hand."""
    if state not in ("pending", "firing"):
        raise InvalidTransitionError("the alert", state, "acknowledged")
    return Change("acknowledged", tier, "acknowledged", "alert.acknowledged")


def resolve(state: State, tier: Tier) -> Change:
    """The cause is gone."""
    if state == "resolved":
        raise InvalidTransitionError("the alert", state, "resolved")
    return Change("resolved", tier, "resolved", "alert.resolved")


def title(watch: Watch, alarm: Alarm, application: str, registry: Registry) -> str:
    """The alert in one line."""
    name = registry.subject_name(alarm.subject)
    evidence = alarm.evidence
    before, after = evidence["before"]["mean"], evidence["after"]["mean"]
    match kind_of(watch):
        case "challenger_better":
            return f"{application}: {name}: the challenger is better"
        case "loss_difference":
            return f"{application}: {name}: the new version is worse by {after:.3g} a row"
        case _:
            was = "" if before is None else f" from {before:.3g}"
            return f"{application}: the loss of {name} changed{was} to {after:.3g}"


def detail(watch: Watch, alarm: Alarm, alarm_id: int, application: str, registry: Registry) -> Json:
    """The alert in the order in which a person needs it."""
    evidence = alarm.evidence
    return {
        "what": title(watch, alarm, application, registry),
        "since": {"alarmed_at": alarm.alarmed_at.isoformat(), "onset": evidence["onset"]},
        "how_sure": {
            "promise": evidence["promise"],
            "guaranteed": evidence["guaranteed"],
            "statistic": alarm.statistic,
            "threshold": alarm.threshold,
            "budget_per_year": evidence["budget_per_year"],
            "unit": evidence["unit"],
            "unit_reason": evidence["unit_reason"],
        },
        "how_bad": {"before": evidence["before"], "after": evidence["after"]},
        "where": {
            "application": application,
            "subject": alarm.subject,
            "versions": registry.subject_name(alarm.subject),
            "watch": watch.name,
            "signal": watch.signal,
        },
        "done": [],
        "link": None,
        "alarm": alarm_id,
    }


def left_service(alert: Alert, registry: Registry) -> str | None:
    """Why the alert's subject no longer matters; none while all its versions answer."""
    route = registry.routes.get(alert.application_id)
    current = route.current if route else None
    if current is None:
        return None
    for part in alert.subject.split(","):
        version = registry.versions.get(int(part))
        if version is not None and version.name not in current.versions:
            return f"{version.name} left service with revision {current.revision}"
    return None


def is_silenced(silences: Iterable[tuple[str | None, datetime]], kind: str, at: datetime) -> bool:
    """Whether deliveries about a kind are held back at a moment."""
    return any((about is None or about == kind) and at < until for about, until in silences)
