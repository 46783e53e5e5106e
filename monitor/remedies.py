"""Whether and how to act on an alarm, and whether the act helped. Values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.records import Alarm, Json, Registry, Remedy, Revision, Route, Watch
from monitor.settings import Mode

IN_FLIGHT = ("decided", "approved")
"""States of a remedy that is still to be carried out."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision rests on, read in the alarm's own transaction."""

    route: Route
    registry: Registry
    remedies: Sequence[Remedy]
    """Of the application."""
    in_alarm: frozenset[str]
    """Names of versions with an open guaranteed alert of their own."""
    now: datetime
    cool_down: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """The change of route that would help."""

    kind: str
    target: str
    """Version that would serve."""
    request: Json


@dataclass(frozen=True, slots=True)
class Decided:
    """What is done about an alarm."""

    kind: str
    mode: Mode
    state: str
    reason: str | None
    request: Json
    not_before: datetime | None


def decide(watch: Watch, alarm: Alarm, situation: Situation, application: str) -> Decided | None:
    """What to do about an alarm.

    Returns
    -------
    Decided or None
        None where the watch only tells people, or where the same cause already has its remedy.
    """
    current = situation.route.current
    if watch.remedy == "notify" or current is None:
        return None
    if not alarm.evidence["guaranteed"]:
        return None
    if any(_same_cause(r, watch, alarm, current) for r in situation.remedies):
        return None
    plan = propose(watch.remedy, alarm.subject, situation.route, situation.registry, application)
    if isinstance(plan, str):
        return Decided(watch.remedy, watch.mode, "held", plan, {}, None)
    if watch.mode is Mode.OBSERVE:
        return Decided(plan.kind, watch.mode, "observed", "mode observe", plan.request, None)
    barred = bar(plan.target, situation.in_alarm)
    if barred is not None:
        return Decided(plan.kind, watch.mode, "held", barred, plan.request, None)
    if watch.mode is Mode.PROPOSE:
        return Decided(plan.kind, watch.mode, "proposed", None, plan.request, None)
    wait = pause(situation.remedies, situation.now, situation.cool_down)
    reason = None if wait is None else wait[1]
    return Decided(
        plan.kind,
        watch.mode,
        "decided",
        reason,
        plan.request,
        situation.now if wait is None else wait[0],
    )


def _same_cause(remedy: Remedy, watch: Watch, alarm: Alarm, current: Revision) -> bool:
    open_states = (*IN_FLIGHT, "proposed", "observed", "rejected")
    return (
        remedy.kind == watch.remedy
        and remedy.from_revision == current.revision
        and remedy.request.get("subject") == alarm.subject
        and remedy.state in open_states
    )


def propose(
    kind: str, subject: str, route: Route, registry: Registry, application: str
) -> Plan | str:
    """The change that a remedy of this kind asks for, or the sentence why there is none."""
    current = route.current
    assert current is not None
    names = [registry.versions[int(part)].name for part in subject.split(",")]
    base: Json = {"subject": subject, "expected_revision": current.revision}
    if kind == "promote":
        if current.champion != names[1] or names[0] not in current.challengers:
            return (
                f"{names[0]} is no challenger of {names[1]} in revision {current.revision} any more"
            )
        policy = {"kind": "shadow", "champion": names[0], "challengers": [names[1]]}
        return Plan(
            kind,
            names[0],
            base
            | {
                "method": "PUT",
                "path": f"/v1/applications/{application}/route",
                "policy": policy,
                "to": names[0],
                "from": names[1],
            },
        )
    if kind == "stop_canary":
        if names[0] not in current.challengers or current.champion is None:
            return f"{names[0]} is no challenger in revision {current.revision} any more"
        policy = {"kind": "single", "champion": current.champion}
        return Plan(
            kind,
            current.champion,
            base
            | {
                "method": "PUT",
                "path": f"/v1/applications/{application}/route",
                "policy": policy,
                "to": current.champion,
                "from": names[0],
            },
        )
    if current.champion != names[0]:
        return f"{names[0]} is not the champion of revision {current.revision} any more"
    good = last_good(route, names[0], wanted=names[1] if len(names) > 1 else None)
    if good is None or good.champion is None:
        return f"no earlier revision of {application} has another champion to go back to"
    return Plan(
        kind,
        good.champion,
        base
        | {
            "method": "POST",
            "path": f"/v1/applications/{application}/rollback",
            "to_revision": good.revision,
            "to": good.champion,
            "from": names[0],
        },
    )


def last_good(route: Route, bad: str, *, wanted: str | None) -> Revision | None:
    """The revision to go back to.

    A change of route is laid on a pile and a rollback takes off what it undid; so a version that
    was itself rolled back is never returned to.
    """
    pile: list[Revision] = []
    for revision in route.revisions:
        if revision.kind == "rollback" and revision.restores is not None:
            while pile and pile[-1].revision > revision.restores:
                pile.pop()
        else:
            pile.append(revision)
    for revision in reversed(pile):
        if revision.champion != bad and (wanted is None or revision.champion == wanted):
            return revision
    return None


def bar(target: str, in_alarm: Iterable[str]) -> str | None:
    """Why traffic must not move to a version; none where it may."""
    return f"{target} is itself in alarm" if target in in_alarm else None


def pause(
    remedies: Iterable[Remedy], now: datetime, cool_down: timedelta, *, besides: int | None = None
) -> tuple[datetime, str] | None:
    """Until when to wait, and why; none where a change may go ahead now."""
    for remedy in remedies:
        if remedy.id == besides:
            continue
        # Of two in flight the older goes first, so that they never wait for each other.
        if remedy.state in IN_FLIGHT and (besides is None or remedy.id < besides):
            return now + timedelta(seconds=1), f"remedy {remedy.id} is in flight"
        if remedy.acted_at is not None and now < remedy.acted_at + cool_down:
            return (
                remedy.acted_at + cool_down,
                f"remedy {remedy.id} acted less than {cool_down} ago",
            )
    return None
