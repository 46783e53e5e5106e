"""Whether to act on an alarm, and how far. Values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.records import Alarm, Json, Registry, Remedy, Revision, Route, Watch
from monitor.remedies import rules
from monitor.remedies.plans import Plan, propose
from monitor.settings import Mode

IN_FLIGHT = ("decided", "approved")
"""States of a remedy that is still to be carried out."""


@dataclass(frozen=True, slots=True)
class Automation:
    """Whether the monitor may act by itself on an application."""

    enabled: bool = True
    said: str | None = None
    """Who switched it off and why."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision rests on, read in the alarm's own transaction."""

    route: Route
    registry: Registry
    remedies: Sequence[Remedy]
    """Of the application."""
    in_alarm: frozenset[str]
    """Names of versions with an open guaranteed alert of their own, at tier page or graver."""
    now: datetime
    cool_down: timedelta
    automation: Automation = Automation()


@dataclass(frozen=True, slots=True)
class Decided:
    """What is done about an alarm."""

    kind: str
    mode: Mode
    state: str
    reason: str | None
    request: Json
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing is done about an alarm by itself: one line for the alert, no remedy."""

    kind: str
    reason: str
    remedy: int | None = None
    """The one that is under way already."""


def decide(
    watch: Watch, alarm: Alarm, situation: Situation, application: str
) -> Decided | Declined | None:
    """What to do about an alarm.

    Returns
    -------
    Decided, Declined or None
        None where the watch only tells people, or where the same cause already has its remedy.
    """
    rule = rules.steps_of(watch)
    if not rules.acts(rule) or not alarm.evidence["guaranteed"]:
        return None
    return decide_step(rule[0], alarm.subject, watch.mode, situation, application)


def decide_step(
    step: Json, subject: str, mode: Mode, situation: Situation, application: str
) -> Decided | Declined | None:
    """What to do about a cause by one step of its rule."""
    current, kind = situation.route.current, step["kind"]
    if current is None or any(_same_cause(r, kind, subject, current) for r in situation.remedies):
        return None
    busy = next((r for r in situation.remedies if r.state in IN_FLIGHT), None)
    if busy is not None:
        said = f"remedy {busy.id} ({busy.kind}) is in flight: one change at a time"
        return Declined(kind, said, busy.id)
    plan = propose(step, subject, situation.route, situation.registry, application)
    if isinstance(plan, str):
        return Declined(kind, plan)
    same = next((r for r in situation.remedies if _same_change(r, plan, current)), None)
    if same is not None:
        return Declined(kind, f"remedy {same.id} proposes the same change", same.id)
    return _as_far_as(plan, mode, situation)


def _as_far_as(plan: Plan, mode: Mode, situation: Situation) -> Decided:
    """How far mode, guards and switch let a plan go."""
    if mode is Mode.OBSERVE:
        return Decided(plan.kind, mode, "observed", "mode observe", plan.request, None)
    barred = bar(plan.target, situation.in_alarm, situation.registry)
    if barred is not None:
        return Decided(plan.kind, mode, "held", barred, plan.request, None)
    if not situation.automation.enabled:
        said = situation.automation.said
        return Decided(plan.kind, mode, "proposed", said, plan.request, None)
    if mode is Mode.PROPOSE:
        return Decided(plan.kind, mode, "proposed", None, plan.request, None)
    wait = None
    if plan.kind in rules.ROUTE_KINDS:
        wait = pause(situation.remedies, situation.now, situation.cool_down)
    reason, not_before = (None, situation.now) if wait is None else (wait[1], wait[0])
    return Decided(plan.kind, mode, "decided", reason, plan.request, not_before)


def _same_cause(remedy: Remedy, kind: str, subject: str, current: Revision) -> bool:
    if remedy.kind != kind or remedy.request.get("subject") != subject:
        return False
    if kind == "retrain" and remedy.state == "acted" and remedy.outcome is None:
        return True
    open_states = (*IN_FLIGHT, "proposed", "observed", "rejected")
    return remedy.from_revision == current.revision and remedy.state in open_states


def _same_change(remedy: Remedy, plan: Plan, current: Revision) -> bool:
    return (
        remedy.state == "proposed"
        and remedy.kind == plan.kind
        and remedy.from_revision == current.revision
        and remedy.request.get("to") == plan.target
    )


def bar(target: str | None, in_alarm: Iterable[str], registry: Registry) -> str | None:
    """Why traffic must not move to a version; none where it may."""
    if target is None:
        return None
    if target in in_alarm:
        return f"{target} is itself in alarm"
    version = registry.version_named(target)
    if version is None:
        return f"{target} is not registered"
    return f"{target} was deleted" if version.deleted else None


def pause(
    remedies: Iterable[Remedy], now: datetime, cool_down: timedelta
) -> tuple[datetime, str] | None:
    """Until when to wait after an earlier change, and why; none where one may go ahead now."""
    acted = [
        (r.acted_at, r.id)
        for r in remedies
        if r.kind in rules.ROUTE_KINDS and r.acted_at is not None and now < r.acted_at + cool_down
    ]
    if not acted:
        return None
    at, number = max(acted)
    return at + cool_down, f"remedy {number} acted less than {cool_down} ago"
