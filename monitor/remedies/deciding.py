"""From an alarm, or from a remedy that did not help, to a decided remedy, in the caller's
transaction; carrying it out comes later."""

import logging
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import metrics
from monitor.alerts.kinds import GRAVITY, version_of
from monitor.alerts.recovery import LONG_BLOCK, step_rows
from monitor.alerts.telling import TOLD_BEFOREHAND, note_remedy, tell
from monitor.records import Alarm, Alert, Json, Registry, Remedy, Watch
from monitor.remedies import guards as remedies
from monitor.remedies import outcomes, rules
from monitor.remedies.escalation import escalate, note_line
from monitor.remedies.guards import Decided, Declined, Situation
from monitor.remedies.scene import Scene
from monitor.settings import Settings, Tier
from monitor.signals import LOSS
from monitor.store import alerts as alert_store
from monitor.store import automation, summaries
from monitor.store import remedies as remedy_store
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.remedies.deciding")

BLAMING = ("loss", "metric.", "service.")
"""Kinds of alert that speak against a version; drifting inputs speak against none."""


async def decide_remedy(
    connection: AsyncConnection,
    watch: Watch,
    alarm: Alarm,
    *,
    alarm_id: int,
    alert: Alert,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> Alert:
    """Decide on an alarm's remedy and note it in its alert."""
    application = registry.applications[alarm.application_id]
    rule = rules.steps_of(watch)
    if rule[0]["kind"] == "page" and alarm.evidence["guaranteed"]:
        said = f"watch {watch.name} asks to page"
        return await escalate(connection, alert, application, said, clock=clock)
    scene = Scene(registry, settings, clock)
    situation = await read_situation(connection, application.id, scene)
    if situation is None:
        return alert
    decided = remedies.decide(watch, alarm, situation, application.name)
    if decided is None:
        return alert
    if isinstance(decided, Declined):
        return await note_line(connection, alert, decided)
    decided.request["body"] = {
        "reason": alert.title,
        "evidence": {
            "alarm": alarm_id,
            "alert": alert.id,
            "watch": watch.name,
            "statistic": alarm.statistic,
            "promise": alarm.evidence["promise"],
            "before": alarm.evidence["before"],
            "after": alarm.evidence["after"],
        },
    }
    decided.request["test"] = await _test_of(connection, decided, alarm, registry)
    remedy, alert = await _add(
        connection,
        decided,
        alert,
        scene,
        alarm_id=alarm_id,
        from_revision=_revision(situation),
        rule=rule,
    )
    if remedy.state == "held":
        alert = await go_on(connection, remedy, alert, scene)
    return alert


async def go_on(
    connection: AsyncConnection,
    remedy: Remedy,
    alert: Alert,
    scene: Scene,
) -> Alert:
    """Take the next step of a remedy's rule, because this one did not help; page after the last.

    An alert that is resolved needs none.
    """
    application = scene.application_of(remedy)
    rule = remedy.rule or []
    for number in range(remedy.step + 1, len(rule)):
        situation = await read_situation(connection, application.id, scene)
        if alert.state == "resolved" or situation is None:
            return alert
        step = rule[number]
        if step["kind"] == "page":
            break
        subject = _subject_now(remedy, situation)
        decided = remedies.decide_step(step, subject, remedy.mode, situation, application.name)
        if decided is None:
            return alert
        if isinstance(decided, Declined):
            alert = await note_line(connection, alert, decided)
            continue
        for name in ("body", "test"):
            decided.request[name] = remedy.request.get(name, {})
        remedy, alert = await _add(
            connection,
            decided,
            alert,
            scene,
            alarm_id=remedy.alarm_id,
            from_revision=_revision(situation),
            rule=rule,
            step=number,
            follows=remedy.id,
        )
        if remedy.state != "held":
            return alert
    if alert.state == "resolved":
        return alert
    what = remedy.outcome or remedy.state
    said = f"remedy {remedy.id} ({remedy.kind}) ended {what}, and its rule has no further step"
    return await escalate(connection, alert, application, said, clock=scene.clock)


async def add_step(
    connection: AsyncConnection,
    parent: Remedy,
    step: Json,
    alert: Alert,
    scene: Scene,
) -> Remedy | None:
    """Decide on a change that completes a remedy; none where it must wait or cannot be."""
    application = scene.application_of(parent)
    situation = await read_situation(connection, application.id, scene)
    if situation is None:
        return None
    subject = str(step.get("subject") or parent.request["subject"])
    decided = remedies.decide_step(step, subject, parent.mode, situation, application.name)
    if not isinstance(decided, Decided):
        return None
    decided.request["body"] = parent.request.get("body", {})
    remedy, _ = await _add(
        connection,
        decided,
        alert,
        scene,
        alarm_id=parent.alarm_id,
        from_revision=_revision(situation),
        follows=parent.id,
    )
    return remedy


async def read_situation(
    connection: AsyncConnection, application_id: int, scene: Scene
) -> Situation | None:
    """What a decision rests on; none before the application has a route."""
    route = scene.registry.routes.get(application_id)
    if route is None or route.current is None:
        return None
    return Situation(
        route,
        scene.registry,
        await remedy_store.read_remedies(connection, application_id),
        await names_in_alarm(connection, application_id, scene.registry),
        scene.clock(),
        scene.settings.remedy_cool_down,
        await automation.read_automation(connection, application_id),
    )


async def names_in_alarm(
    connection: AsyncConnection, application_id: int, registry: Registry
) -> frozenset[str]:
    """Versions that a guaranteed test holds to be bad: no traffic may move to them.

    What only informs holds nothing back: people are not woken for it, and by its budget it is wrong
    once a month, while whoever waits for the change is served by a version that is worse.
    """
    found = await _blamed(connection, application_id, registry)
    return frozenset(name for name, alert in found if GRAVITY[alert.tier] >= GRAVITY[Tier.PAGE])


async def _informed_of(
    connection: AsyncConnection, target: str | None, alert: Alert, registry: Registry
) -> str | None:
    """What only informs about the version to which a change moves, in words; none without such."""
    found = await _blamed(connection, alert.application_id, registry)
    numbers = [
        str(other.id) for name, other in reversed(found) if name == target and other.id != alert.id
    ]
    if not numbers:
        return None
    which = f"alert {numbers[0]}" if len(numbers) == 1 else f"alerts {', '.join(numbers)}"
    return f"{target} has an open information alert itself: {which}"


async def _blamed(
    connection: AsyncConnection, application_id: int, registry: Registry
) -> list[tuple[str, Alert]]:
    """Open alerts by which a guaranteed test holds a version to be bad, newest first, each with the
    version's name."""
    opened = await alert_store.read_alerts(connection, application_id=application_id, is_open=True)
    return [
        (registry.versions[number].name, alert)
        for alert in opened
        if alert.kind.startswith(BLAMING)
        and alert.state != "pending"
        and (number := int(version_of(alert.subject))) in registry.versions
    ]


async def _add(
    connection: AsyncConnection,
    decided: Decided,
    alert: Alert,
    scene: Scene,
    *,
    alarm_id: int,
    from_revision: int,
    rule: list[Json] | None = None,
    step: int = 0,
    follows: int | None = None,
) -> tuple[Remedy, Alert]:
    application = scene.registry.applications[alert.application_id]
    if decided.state in TOLD_BEFOREHAND:
        target = decided.request.get("to")
        informed = await _informed_of(connection, target, alert, scene.registry)
        if informed is not None:
            decided.request["informed"] = informed
    remedy = await remedy_store.add_remedy(
        connection,
        decided,
        application_id=application.id,
        alarm_id=alarm_id,
        alert_id=alert.id,
        from_revision=from_revision,
        key=uuid4(),
        rule=rule,
        step=step,
        follows=follows,
    )
    metrics.REMEDIES.labels(remedy.kind, remedy.state).inc()
    log.warning(
        "remedy_%s application=%s remedy=%d kind=%s reason=%s",
        remedy.state,
        application.name,
        remedy.id,
        remedy.kind,
        remedy.state_reason,
    )
    alert = await note_remedy(connection, alert, remedy, remedy.state, remedy.state_reason)
    if remedy.state == "proposed":
        extra = {"remedy": remedy.id}
        await tell(connection, "remedy.proposed", alert, application, extra, clock=scene.clock)
    return remedy, alert


def _subject_now(remedy: Remedy, situation: Situation) -> str:
    """The version in question after a remedy: the one that it brought, where it brought one."""
    current = situation.route.current
    if remedy.to_revision is not None and current is not None and current.champion is not None:
        version = situation.registry.version_named(current.champion)
        if version is not None:
            return str(version.id)
    return str(remedy.request["subject"])


def _revision(situation: Situation) -> int:
    current = situation.route.current
    assert current is not None
    return current.revision


async def _test_of(
    connection: AsyncConnection, decided: Decided, alarm: Alarm, registry: Registry
) -> Json:
    parameters = alarm.evidence["parameters"]
    clip = float(parameters.get("clip") or 1.0)
    after = alarm.evidence["after"]
    bad = registry.version_named(decided.request.get("from", ""))
    number = alarm.subject.partition("|")[0].split(",")[0] if bad is None else str(bad.id)
    if alarm.evidence["signal"] == LOSS and alarm.subject == number:
        # The rows of the alarm were chosen for being bad: what is surely so bad must be undercut.
        least = after["mean"] if after.get("low") is None else after["low"]
        block = step_rows(parameters)
        return outcomes.begin(decided.kind, least, after["rows"], clip, block=block)
    # How the losses themselves depend on each other is not what this alarm is about.
    sums = await summaries.read_whole(connection, alarm.application_id, LOSS, number)
    mean = sums.total / sums.n if sums.n else None
    return outcomes.begin(decided.kind, mean, sums.n, clip, block=LONG_BLOCK)
