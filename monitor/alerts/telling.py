"""Tell people about an alert, in the caller's transaction: its history and the outbox."""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts import states as alerts
from monitor.alerts.detail import ordered
from monitor.alerts.kinds import inhibitors
from monitor.alerts.text import text_of
from monitor.records import Alert, Application, Json, Registry, Remedy, Silence
from monitor.store import alerts as alert_store
from monitor.store import webhooks as webhook_store
from monitor.store.standing import read_standing
from monitor.wall_clock import Clock

MONITOR = "monitor"
"""Actor of what nobody asked for."""
TOLD_BEFOREHAND = ("observed", "proposed", "decided")
"""States of a remedy at which it is said what people were only informed of about its target."""
NEWS = ("alert.pending", "alert.firing", "alert.acknowledged")
"""Events that a worse alert makes no news of their own. What a remedy did is told all the same:
it changed the traffic."""


async def tell(
    connection: AsyncConnection,
    event: str,
    alert: Alert,
    application: Application,
    extra: Json | None = None,
    *,
    clock: Clock,
) -> None:
    """Put an event about an alert into the outbox, unless something holds it back.

    A silence holds back all but the end of what was told before it began, however grave the rest
    is; a worse alert that explains this one holds back that it stands. What was held back is told
    in one delivery, as it stands then, once nothing holds it back and the alert has not ended.
    """
    only = None
    if event == "alert.resolved":
        # Who was told that it stands is told that it ended, and nobody else: its tier may have
        # risen since, above what a webhook asks for.
        only = await webhook_store.told_of(connection, alert.id)
        if not only:
            return
    elif (silence := await silenced_by(connection, alert, clock)) is not None:
        await _note_silence(connection, alert, event, silence)
        await alert_store.mark_told(connection, alert.id, told=False)
        return
    elif event in NEWS and alert.inhibited_by is not None:
        await alert_store.mark_told(connection, alert.id, told=False)
        return
    await webhook_store.add_deliveries(
        connection,
        event=event,
        application=application.name,
        tier=alert.tier,
        body=event_body(
            event, alert, application.name, extra, standing=await read_standing(connection, alert)
        ),
        alert_id=alert.id,
        only=only,
    )
    if event in NEWS:
        await alert_store.mark_told(connection, alert.id, told=True)


def event_body(
    event: str,
    alert: Alert,
    application: str,
    extra: Json | None = None,
    *,
    standing: Sequence[Json] = (),
) -> Json:
    """An event as the outbox keeps it; `docs/webhooks.md` describes it."""
    data: Json = alert_data(alert, application, standing) | (extra or {})
    data["text"] = text_of(data)
    return {"type": event, "timestamp": alert.updated_at.isoformat(), "data": data}


def alert_data(alert: Alert, application: str, standing: Sequence[Json] = ()) -> Json:
    """An alert as every channel and the API tell it.

    Parameters
    ----------
    standing
        What other alerts of the same version have set off and still stands, as `read_standing`
        tells it.
    """
    where = alert.detail.get("where", {})
    version = where.get("version") or where.get("versions") or alert.subject
    return {
        "alert": alert.id,
        "application": application,
        "version": version,
        "group": f"{application}/{version}",
        "kind": alert.kind,
        "tier": alert.tier.value,
        "state": alert.state,
        "subject": alert.subject,
        "title": alert.title,
        "opened_at": alert.opened_at.isoformat(),
        "resolved_at": None if alert.resolved_at is None else alert.resolved_at.isoformat(),
        "inhibited_by": alert.inhibited_by,
        "recovery": None if alert.recovery is None else alert.recovery.get("says"),
        **ordered(alert.detail | {"standing": list(standing)}),
    }


async def silenced_by(connection: AsyncConnection, alert: Alert, clock: Clock) -> Silence | None:
    """The silence that holds now for an alert."""
    now = clock()
    silences = await alert_store.read_silences(connection, now, alert.application_id)
    return alerts.silence_of(silences, alert.kind, now)


async def _note_silence(
    connection: AsyncConnection, alert: Alert, event: str, silence: Silence
) -> None:
    line = {
        "event": event,
        "silence": silence.id,
        "author": silence.author,
        "until": silence.until.isoformat(),
        "reason": silence.reason,
    }
    await alert_store.add_alert_event(connection, alert.id, "held_back", MONITOR, line)


async def settle_inhibition(
    connection: AsyncConnection,
    application: Application,
    *,
    clock: Clock,
    silent: Collection[int] = (),
) -> None:
    """Say of each open alert of an application which worse one explains it.

    What is no longer explained, and still stands, is told; what somebody has in hand only if he
    took it while it was explained.

    Parameters
    ----------
    silent
        Alerts that the caller tells of itself.
    """
    found = await alert_store.read_alerts(connection, application_id=application.id, is_open=True)
    chosen = inhibitors(found)
    for seen in found:
        worse = chosen[seen.id]
        if worse == seen.inhibited_by:
            continue
        # An alert that somebody else changes right now is left to the next turn: waiting for it
        # while holding others could stop both.
        alert = await alert_store.lock_free(connection, seen.id)
        if alert is None or alert.state == "resolved" or worse == alert.inhibited_by:
            continue
        changed = await alert_store.change_alert(connection, alert.id, inhibited_by=worse)
        event = "released" if worse is None else "inhibited"
        about = alert.inhibited_by if worse is None else worse
        await alert_store.add_alert_event(connection, alert.id, event, MONITOR, {"alert": about})
        is_news = alert.state != "acknowledged" or alert.told_at is None
        if worse is None and is_news and alert.id not in silent:
            reason = f"alert {about}, which explained it, no longer does, and it still stands"
            await tell(
                connection,
                f"alert.{alert.state}",
                changed,
                application,
                {"reason": reason},
                clock=clock,
            )


async def tell_held_back(connection: AsyncConnection, registry: Registry, clock: Clock) -> None:
    """Tell what a silence held back and still stands, now that the silence has ended."""
    for alert in await alert_store.read_untold(connection, registry.applications):
        if await silenced_by(connection, alert, clock) is None:
            application = registry.applications[alert.application_id]
            extra = {"reason": "the silence has ended, and it still stands"}
            event = f"alert.{alert.state}"
            await tell(connection, event, alert, application, extra, clock=clock)


async def close_alert(
    connection: AsyncConnection,
    alert: Alert,
    application: Application,
    actor: str,
    reason: str,
    *,
    clock: Clock,
) -> Alert:
    """Resolve an alert, tell people, and free what it explained."""
    change = alerts.resolve(alert.state, alert.tier)  # type: ignore[arg-type]  # the table allows the four states alone
    alert = await alert_store.change_alert(connection, alert.id, state=change.state)
    await alert_store.add_alert_event(connection, alert.id, change.event, actor, {"reason": reason})
    if change.delivery is not None:
        await tell(connection, change.delivery, alert, application, {"reason": reason}, clock=clock)
    await settle_inhibition(connection, application, clock=clock)
    return alert


async def note_remedy(
    connection: AsyncConnection,
    alert: Alert,
    remedy: Remedy,
    state: str,
    reason: str | None,
) -> Alert:
    """Write into an alert what was done about it."""
    line: Json = {"remedy": remedy.id, "kind": remedy.kind, "state": state, "reason": reason}
    if state in TOLD_BEFOREHAND and remedy.request.get("informed"):
        line["informed"] = remedy.request["informed"]
    done = [*alert.detail.get("done", []), line]
    changed = await alert_store.change_alert(
        connection, alert.id, detail=alert.detail | {"done": done}
    )
    await alert_store.add_alert_event(connection, alert.id, "remedied", MONITOR, line)
    return changed
