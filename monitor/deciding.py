"""From an alarm to a decided remedy, in the caller's transaction; carrying it out comes later."""

import logging
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import outcomes, remedies
from monitor.records import Alarm, Alert, Json, Registry, Watch
from monitor.remedies import Situation
from monitor.settings import Settings
from monitor.signals import LOSS
from monitor.store import alarms as alarm_store
from monitor.store import alerts as alert_store
from monitor.store import remedies as remedy_store
from monitor.telling import note_remedy, tell
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.deciding")


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
