"""From an alarm to an alert, in the caller's transaction."""

import logging
from collections.abc import Collection
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import metrics
from monitor.alerts import recovery
from monitor.alerts import states as alerts
from monitor.alerts.detail import detail, title
from monitor.alerts.kinds import kind_of_alarm
from monitor.alerts.telling import MONITOR, close_alert, settle_inhibition, tell, tell_held_back
from monitor.records import Alarm, Registry, Watch
from monitor.remedies import guards as remedies
from monitor.remedies.deciding import decide_remedy
from monitor.settings import Settings
from monitor.store import alarms as alarm_store
from monitor.store import alerts as alert_store
from monitor.store import remedies as remedy_store
from monitor.store.standing import read_standing
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.raising")


async def raise_alarm(
    connection: AsyncConnection,
    watch: Watch,
    alarm: Alarm,
    *,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Write an alarm, open its alert or add to the one that is open, decide what to do about it,
    and tell people if that is news."""
    application = registry.applications[alarm.application_id]
    kind = kind_of_alarm(watch, alarm)
    before = await alert_store.find_open_alert(connection, application.id, alarm.subject, kind)
    if alarm.repeats and before is not None:
        repeated = await alarm_store.repeat_alarm(connection, before.id, alarm)
        if repeated is not None:
            # Nothing new is said, but a remedy that had to wait may be possible now.
            if before.recovery is not None:
                again = recovery.begin_again(before.recovery, alarm.alarmed_at)
                await alert_store.save_recovery(connection, before.id, again)
            await decide_remedy(
                connection,
                watch,
                alarm,
                alarm_id=repeated,
                alert=before,
                registry=registry,
                settings=settings,
                clock=clock,
            )
            return
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
    change = alerts.on_alarm(
        before.state if before else None,  # type: ignore[arg-type]  # the table allows the four states alone
        before.tier if before else None,
        watch.tier,
        guaranteed=alarm.evidence["guaranteed"],
    )
    told = detail(
        watch,
        alarm,
        alarm_id=alarm_id,
        kind=kind,
        application=application,
        registry=registry,
    )
    headline = title(kind, alarm, application, registry)
    test = recovery.after(watch, alarm, None if before is None else before.recovery)
    if before is None:
        alert = await alert_store.add_alert(
            connection,
            application_id=application.id,
            subject=alarm.subject,
            kind=kind,
            tier=change.tier,
            state=change.state,
            title=headline,
            detail=told,
            opened_at=alarm.alarmed_at,
        )
        told["link"] = link(settings, application.name, alert.id, alarm)
        alert = await alert_store.change_alert(connection, alert.id, detail=told, recovery=test)
    else:
        told |= {"done": before.detail.get("done", []), "link": before.detail.get("link")}
        shown = {"title": headline, "detail": told} if change.delivery else {}
        alert = await alert_store.change_alert(
            connection,
            before.id,
            state=change.state,
            tier=change.tier.value,
            recovery=test,
            **shown,
        )
    await alert_store.add_alert_event(
        connection,
        alert.id,
        change.event,
        MONITOR,
        {"alarm": alarm_id, "watch": watch.name, "tier": watch.tier.value},
    )
    alert = await decide_remedy(
        connection,
        watch,
        alarm,
        alarm_id=alarm_id,
        alert=alert,
        registry=registry,
        settings=settings,
        clock=clock,
    )
    if before is None:
        # The alert's own record: whatever becomes of the route later, this stood when it came.
        for line in await read_standing(connection, alert):
            await alert_store.add_alert_event(connection, alert.id, "standing", MONITOR, line)
    # The remedy may have let it fire again; whether a worse one explains it is known after that.
    news = () if change.delivery is None else (alert.id,)
    await settle_inhibition(connection, application, clock=clock, silent=news)
    if change.delivery is not None:
        alert = await alert_store.lock_alert(connection, alert.id)
        await tell(connection, change.delivery, alert, application, clock=clock)


def link(settings: Settings, application: str, alert_id: int, alarm: Alarm) -> str:
    """Address of the console at the moment of an alarm."""
    asked = {"application": application, "alert": alert_id, "at": alarm.alarmed_at.isoformat()}
    return f"{settings.console_url}/?{urlencode(asked)}"


async def close_stale(
    connection: AsyncConnection, registry: Registry, applications: Collection[int], clock: Clock
) -> None:
    """Resolve alerts about versions that left service, unless a remedy for them is still being
    tested; then tell what was held back and no longer is.

    Parameters
    ----------
    applications
        Whose alerts are looked at.
    """
    stand = await alert_store.read_open(connection, applications)
    for alert in stand:
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
        await close_alert(connection, alert, application, MONITOR, reason, clock=clock)
    for number in sorted({a.application_id for a in stand} & registry.applications.keys()):
        await settle_inhibition(connection, registry.applications[number], clock=clock)
    await tell_held_back(connection, registry, clock)
