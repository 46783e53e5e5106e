"""Tell people about an alert, in the caller's transaction: its history and the outbox."""

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import alerts
from monitor.records import Alert, Application, Json, Remedy
from monitor.store import alerts as alert_store
from monitor.store import webhooks as webhook_store

MONITOR = "monitor"
"""Actor of what nobody asked for."""


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
