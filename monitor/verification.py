"""Whether remedies helped, tested on the labels of the turn, in the caller's transaction."""

import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor import outcomes
from monitor.records import Registry
from monitor.settings import Settings
from monitor.signals import Extracted
from monitor.store import alerts as alert_store
from monitor.store import remedies as remedy_store
from monitor.telling import MONITOR, close_alert, note_remedy, tell

log = logging.getLogger("monitor.verification")


async def verify_remedies(
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
