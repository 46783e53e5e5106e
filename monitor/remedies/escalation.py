"""Lines in an alert's history about what was not done, and the page where nothing helped."""

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts.kinds import GRAVITY
from monitor.alerts.telling import MONITOR, tell
from monitor.records import Alert, Application
from monitor.remedies.guards import Declined
from monitor.settings import Tier
from monitor.store import alerts as alert_store
from monitor.wall_clock import Clock


async def note_line(connection: AsyncConnection, alert: Alert, declined: Declined) -> Alert:
    """Say once in an alert why nothing was done by itself."""
    line = {
        "remedy": declined.remedy,
        "kind": declined.kind,
        "state": "declined",
        "reason": declined.reason,
    }
    done = alert.detail.get("done", [])
    if line in done:
        return alert
    changed = await alert_store.change_alert(
        connection, alert.id, detail=alert.detail | {"done": [*done, line]}
    )
    await alert_store.add_alert_event(connection, alert.id, "declined", MONITOR, line)
    return changed


async def escalate(
    connection: AsyncConnection,
    alert: Alert,
    application: Application,
    reason: str,
    *,
    clock: Clock,
) -> Alert:
    """Page: the alert fires at tier page at least, also if somebody had taken it in hand."""
    tier = alert.tier if GRAVITY[alert.tier] >= GRAVITY[Tier.PAGE] else Tier.PAGE
    alert = await alert_store.change_alert(connection, alert.id, state="firing", tier=tier.value)
    await alert_store.add_alert_event(
        connection, alert.id, "escalated", MONITOR, {"reason": reason}
    )
    await tell(connection, "alert.firing", alert, application, {"escalated": reason}, clock=clock)
    return alert
