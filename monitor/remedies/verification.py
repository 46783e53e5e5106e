"""Whether remedies helped, tested on the labels of the turn, in the caller's transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts.telling import MONITOR, close_alert
from monitor.records import Registry
from monitor.remedies import outcomes
from monitor.remedies.scene import Scene
from monitor.remedies.settling import conclude
from monitor.settings import Settings
from monitor.signals import Extracted
from monitor.store import alerts as alert_store
from monitor.store import remedies as remedy_store
from monitor.wall_clock import Clock


async def verify_remedies(
    connection: AsyncConnection,
    extracted: Extracted,
    registry: Registry,
    settings: Settings,
    clock: Clock,
) -> None:
    """Feed the fresh labels to the tests of remedies that acted; conclude the decided ones."""
    touched = sorted({application for application, _ in extracted})
    for untested in await remedy_store.read_untested(connection, touched):
        verdict = outcomes.verify(untested, extracted, registry)
        if verdict is None:
            continue
        remedy = await remedy_store.change_remedy(
            connection, untested.id, outcome_detail=verdict.detail
        )
        if verdict.outcome is None:
            continue
        n = verdict.detail["n"]
        found = "rejected" if verdict.outcome == "recovered" else "not rejected"
        await conclude(
            connection,
            remedy,
            verdict.outcome,
            f"{n} fresh labels; tested and {found}: {verdict.detail['null']} "
            f"{verdict.detail['error']}",
            Scene(registry, settings, clock),
        )
        if verdict.outcome != "recovered" or remedy.alert_id is None:
            continue
        alert = await alert_store.lock_alert(connection, remedy.alert_id)
        if alert.state != "resolved":
            application = registry.applications[remedy.application_id]
            said = f"remedy {remedy.id} was shown to have helped on {n} fresh labels"
            await close_alert(connection, alert, application, MONITOR, said, clock=clock)
