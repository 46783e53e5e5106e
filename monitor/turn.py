"""One turn: read, join, test, alarm, alert, decide, save; all of it in the caller's transaction."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import alerts, budget, metrics, outcomes, remedies
from monitor.detector_state import Subject, from_row
from monitor.evaluation import run_watch
from monitor.evidence import Sums
from monitor.feed import join
from monitor.moments import from_micros
from monitor.records import Alarm, Alert, Application, Json, Position, Registry, Remedy, Watch
from monitor.remedies import Situation
from monitor.settings import Settings
from monitor.signals import LOSS, Extracted, extract
from monitor.store import alarms as alarm_store
from monitor.store import alerts as alert_store
from monitor.store import cursors, record
from monitor.store import registry as registry_store
from monitor.store import remedies as remedy_store
from monitor.store import watches as watch_store
from monitor.store import webhooks as webhook_store
from monitor.wall_clock import Clock
from monitor.watches import kind_of

log = logging.getLogger("monitor.turn")

MONITOR = "monitor"
"""Actor of what nobody asked for."""


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn did."""

    until: Position
    predictions: int
    labels: int
    observations: int
    alarms: int


async def take_turn(connection: AsyncConnection, settings: Settings, clock: Clock) -> Turned | None:
    """Consume the next shipments, if there are any.

    Everything that follows from them is written through `connection`; who commits it moves the
    cursor
    with it, and who does not has done nothing.
    """
    after = await cursors.lock_cursor(connection, settings.shard)
    shipments = await record.read_shipments(connection, after, rows=settings.turn_rows)
    registry = await registry_store.read_registry(connection)
    await watch_store.add_default_watches(connection, registry.applications, settings.remedy_mode)
    if not shipments:
        await _close_stale(connection, registry, settings)
        return None
    until = shipments[-1].position
    answers, labels = await record.read_rows(connection, shipments)
    events = join(answers, labels, after=after, until=until)
    extracted = extract(events, registry)
    await alarm_store.add_points(connection, _points(extracted, settings.series_step_us))
    found = await evaluate(connection, extracted, registry, settings)
    for watch, alarm in found:
        await _raise(connection, watch, alarm, registry=registry, settings=settings, clock=clock)
    await _verify(connection, extracted, registry, settings)
    await _close_stale(connection, registry, settings)
    await cursors.move_cursor(connection, settings.shard, until)
    return Turned(
        until,
        sum(s.predictions for s in shipments),
        sum(s.feedback for s in shipments),
        sum(len(o.value) for o in extracted.values()),
        len(found),
    )


async def evaluate(
    connection: AsyncConnection, extracted: Extracted, registry: Registry, settings: Settings
) -> list[tuple[Watch, Alarm]]:
    """Feed every watch and save its states; the alarms in the order of their times and watches."""
    found: list[tuple[Watch, Alarm]] = []
    for application_id in sorted({a for a, _ in extracted}):
        application = registry.applications[application_id]
        watches = await watch_store.read_watches(connection, application_id)
        yearly = budget.budgets(watches, settings)
        concerned = [w for w in watches if w.enabled and (application_id, w.signal) in extracted]
        subjects: dict[int, dict[str, Subject]] = {watch.id: {} for watch in concerned}
        by_id = {watch.id: watch for watch in concerned}
        for state in await watch_store.read_states(connection, list(by_id)):
            subjects[state.watch_id][state.subject] = from_row(by_id[state.watch_id], state)
        references: dict[str, list[float] | None] = {}
        for watch in concerned:
            observations = extracted[application_id, watch.signal]
            for name in set(observations.subject) - subjects[watch.id].keys() - references.keys():
                references[name] = await registry_store.read_reference_losses(
                    connection, int(name.split(",")[0]), application.task
                )
            tested = run_watch(
                watch,
                observations,
                subjects[watch.id],
                references,
                task=application.task,
                budget_per_year=yearly.get(watch.id, 0.0),
                time_scale=settings.time_scale,
            )
            found.extend((watch, alarm) for alarm in tested.alarms)
            if tested.clock is not None:
                await watch_store.move_clock(connection, watch.id, tested.clock)
            for subject in tested.touched:
                await watch_store.save_state(connection, subject.to_row())
    found.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
    return found


def _points(extracted: Extracted, step_us: int) -> list[alarm_store.Point]:
    points = []
    for (application, signal), observations in extracted.items():
        values: dict[tuple[str, int], list[float]] = defaultdict(list)
        for subject, at, value in zip(
            observations.subject, observations.at, observations.value, strict=True
        ):
            values[subject, at // step_us * step_us].append(value)
        for (subject, at), some in values.items():
            points.append(
                alarm_store.Point(
                    application,
                    signal,
                    subject,
                    from_micros(at),
                    Sums.of(np.array(some, np.float64)),
                )
            )
    return points


async def _raise(
    connection: AsyncConnection,
    watch: Watch,
    alarm: Alarm,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    application = registry.applications[alarm.application_id]
    alarm_id = await alarm_store.add_alarm(connection, alarm)
    metrics.ALARMS.labels(application.name, watch.name, watch.tier.value).inc()
    log.warning(
        "alarm_raised application=%s watch=%s subject=%s statistic=%.3g observation=%d",
        application.name,
        watch.name,
        alarm.subject,
        alarm.statistic,
        alarm.observation,
    )
    kind = kind_of(watch)
    before = await alert_store.find_open_alert(connection, application.id, alarm.subject, kind)
    change = alerts.on_alarm(
        before.state if before else None,  # type: ignore[arg-type]  # the table allows the four states alone
        before.tier if before else None,
        watch.tier,
        guaranteed=alarm.evidence["guaranteed"],
    )
    told = alerts.detail(watch, alarm, alarm_id, application.name, registry)
    line = alerts.title(watch, alarm, application.name, registry)
    if before is None:
        alert = await alert_store.add_alert(
            connection,
            application_id=application.id,
            subject=alarm.subject,
            kind=kind,
            tier=change.tier,
            state=change.state,
            title=line,
            detail=told,
            opened_at=alarm.alarmed_at,
        )
        told["link"] = f"{settings.console_url}/v1/alerts/{alert.id}"
        alert = await alert_store.change_alert(connection, alert.id, detail=told)
    else:
        told |= {"done": before.detail.get("done", []), "link": before.detail.get("link")}
        shown = {"title": line, "detail": told} if change.delivery else {}
        alert = await alert_store.change_alert(
            connection, before.id, state=change.state, tier=change.tier.value, **shown
        )
    await alert_store.add_alert_event(
        connection,
        alert.id,
        change.event,
        MONITOR,
        {"alarm": alarm_id, "watch": watch.name, "tier": watch.tier.value},
    )
    alert = await _decide(
        connection,
        watch,
        alarm,
        alarm_id=alarm_id,
        alert=alert,
        registry=registry,
        settings=settings,
        clock=clock,
    )
    if change.delivery is not None:
        await tell(connection, change.delivery, alert, application)


async def _decide(
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
    application = registry.applications[alarm.application_id]
    route = registry.routes.get(application.id)
    if route is None or route.current is None:
        return alert
    now = clock()
    decided = remedies.decide(
        watch,
        alarm,
        Situation(
            route,
            registry,
            await remedy_store.read_remedies(connection, application.id),
            await names_in_alarm(connection, application.id, registry),
            now,
            settings.remedy_cool_down,
        ),
        application.name,
    )
    if decided is None:
        return alert
    decided.request["subject"] = alarm.subject
    decided.request["test"] = await _test_of(connection, decided.kind, alarm)
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
    remedy = await remedy_store.add_remedy(
        connection,
        decided,
        application_id=application.id,
        alarm_id=alarm_id,
        alert_id=alert.id,
        from_revision=route.current.revision,
        key=uuid4(),
    )
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
        await tell(connection, "remedy.proposed", alert, application, {"remedy": remedy.id})
    return alert


async def _test_of(connection: AsyncConnection, kind: str, alarm: Alarm) -> Json:
    bad = await alarm_store.read_sums(
        connection, alarm.application_id, LOSS, alarm.subject.split(",")[0]
    )
    clip = float(alarm.evidence["parameters"].get("clip") or 1.0)
    after = alarm.evidence["after"]
    if alarm.evidence["signal"] == LOSS:
        return outcomes.begin(kind, after["mean"], after["rows"], clip)
    return outcomes.begin(kind, bad.total / bad.n if bad.n else None, bad.n, clip)


async def names_in_alarm(
    connection: AsyncConnection, application_id: int, registry: Registry
) -> frozenset[str]:
    """Versions that a guaranteed test holds to be bad: no traffic may move to them."""
    opened = await alert_store.read_alerts(connection, application_id=application_id, is_open=True)
    return frozenset(
        registry.versions[int(alert.subject.split(",")[0])].name
        for alert in opened
        if alert.kind != "challenger_better"
        and alert.state != "pending"
        and int(alert.subject.split(",")[0]) in registry.versions
    )


async def note_remedy(
    connection: AsyncConnection,
    alert: Alert,
    remedy: Remedy,
    state: str,
    reason: str | None,
) -> Alert:
    """Write into an alert what was done about it."""
    done = [
        *alert.detail.get("done", []),
        {"remedy": remedy.id, "kind": remedy.kind, "state": state, "reason": reason},
    ]
    changed = await alert_store.change_alert(
        connection, alert.id, detail=alert.detail | {"done": done}
    )
    await alert_store.add_alert_event(
        connection,
        alert.id,
        "remedied",
        MONITOR,
        {"remedy": remedy.id, "kind": remedy.kind, "state": state, "reason": reason},
    )
    return changed


async def tell(
    connection: AsyncConnection,
    event: str,
    alert: Alert,
    application: Application,
    extra: Json | None = None,
) -> None:
    """Put an event about an alert into the outbox, unless a silence holds it back."""
    silences = await alert_store.read_silences(connection, application.id)
    if alerts.is_silenced(((s.kind, s.until) for s in silences), alert.kind, alert.updated_at):
        return
    body: Json = {
        "type": event,
        "timestamp": alert.updated_at.isoformat(),
        "data": {
            "alert": alert.id,
            "application": application.name,
            "kind": alert.kind,
            "tier": alert.tier.value,
            "state": alert.state,
            "subject": alert.subject,
            "title": alert.title,
            **alert.detail,
            **(extra or {}),
        },
    }
    await webhook_store.add_deliveries(
        connection,
        event=event,
        application=application.name,
        tier=alert.tier,
        body=body,
        alert_id=alert.id,
    )


async def close_alert(
    connection: AsyncConnection, alert: Alert, application: Application, actor: str, reason: str
) -> Alert:
    """Resolve an alert and tell people."""
    change = alerts.resolve(alert.state, alert.tier)  # type: ignore[arg-type]  # the table allows the four states alone
    alert = await alert_store.change_alert(connection, alert.id, state=change.state)
    await alert_store.add_alert_event(connection, alert.id, change.event, actor, {"reason": reason})
    if change.delivery is not None:
        await tell(connection, change.delivery, alert, application, {"reason": reason})
    return alert


async def _verify(
    connection: AsyncConnection, extracted: Extracted, registry: Registry, settings: Settings
) -> None:
    for remedy in await remedy_store.read_untested(connection):
        verdict = outcomes.verify(remedy, extracted, registry)
        if verdict is None:
            continue
        await remedy_store.change_remedy(
            connection, remedy.id, outcome=verdict.outcome, outcome_detail=verdict.detail
        )
        if verdict.outcome is None:
            continue
        application = registry.applications[remedy.application_id]
        log.warning(
            "remedy_tested application=%s remedy=%d outcome=%s labels=%d",
            application.name,
            remedy.id,
            verdict.outcome,
            verdict.detail["n"],
        )
        if remedy.alert_id is None:
            continue
        alert = await alert_store.lock_alert(connection, remedy.alert_id)
        alert = await note_remedy(
            connection, alert, remedy, verdict.outcome, verdict.detail["null"]
        )
        await tell(
            connection, f"remedy.{verdict.outcome}", alert, application, {"remedy": remedy.id}
        )
        if verdict.outcome == "recovered" and alert.state != "resolved":
            await close_alert(
                connection,
                alert,
                application,
                MONITOR,
                f"remedy {remedy.id} was shown to have helped on {verdict.detail['n']} fresh "
                f"labels",
            )


async def _close_stale(connection: AsyncConnection, registry: Registry, settings: Settings) -> None:
    """Resolve alerts about versions that left service, unless a remedy for them is still being
    tested."""
    for alert in await alert_store.read_alerts(connection, is_open=True):
        reason = alerts.left_service(alert, registry)
        if reason is None:
            continue
        mine = [
            r
            for r in await remedy_store.read_remedies(connection, alert.application_id)
            if r.alert_id == alert.id
        ]
        if any(
            r.state in remedies.IN_FLIGHT or (r.state == "acted" and r.outcome is None)
            for r in mine
        ):
            continue
        if any(r.outcome == "not_recovered" for r in mine):
            continue
        application = registry.applications[alert.application_id]
        await close_alert(connection, alert, application, MONITOR, reason)
