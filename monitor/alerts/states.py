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

from monitor.alerts.kinds import GRAVITY
from monitor.errors import InvalidTransitionError
from monitor.records import Alert, Registry, Silence
from monitor.settings import Tier

State = Literal["pending", "firing", "acknowledged", "resolved"]


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


def left_service(alert: Alert, registry: Registry) -> str | None:
    """Why the alert's subject no longer matters; none while all its versions answer."""
    route = registry.routes.get(alert.application_id)
    current = route.current if route else None
    if current is None:
        return None
    for part in alert.subject.partition("|")[0].split(","):
        version = registry.versions.get(int(part))
        if version is not None and version.name not in current.versions:
            return f"{version.name} left service with revision {current.revision}"
    return None


def silence_of(silences: Iterable[Silence], kind: str, at: datetime) -> Silence | None:
    """The silence that holds back deliveries about a kind at a moment; of several the one that ends
    last.

    A silence about feature holds back feature.area too.
    """
    holding = [
        one
        for one in silences
        if at < one.until
        and (one.kind is None or one.kind == kind or kind.startswith(f"{one.kind}."))
    ]
    return max(holding, key=lambda one: (one.until, one.id), default=None)
