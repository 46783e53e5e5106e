"""What is still to be found out about remedies: whether the route changed everywhere, whether they
helped, whether a proposal still makes sense."""

import logging

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.alerts.telling import note_remedy, tell
from monitor.records import Remedy
from monitor.remedies import retraining, rules
from monitor.remedies.actor import finish, has_moved
from monitor.remedies.deciding import go_on
from monitor.remedies.escalation import escalate
from monitor.remedies.route_check import check_route
from monitor.remedies.scene import Scene
from monitor.serving_client import ServingClient
from monitor.settings import Settings
from monitor.store import alerts as alert_store
from monitor.store import registry as registry_store
from monitor.store import remedies as store
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.remedies.settling")


async def settle(
    engine: AsyncEngine, client: ServingClient, settings: Settings, clock: Clock
) -> None:
    """Look once at every remedy about which something is open."""
    async with engine.begin() as connection:
        pending = await store.read_unsettled(connection)
    for remedy in pending:
        if remedy.to_revision is not None and not (remedy.route_check or {}).get("done"):
            await _check_route(engine, client, remedy, settings, clock)
        if remedy.outcome is None:
            async with engine.begin() as connection:
                await _look(connection, remedy.id, settings, clock)


async def _check_route(
    engine: AsyncEngine,
    client: ServingClient,
    remedy: Remedy,
    settings: Settings,
    clock: Clock,
) -> None:
    assert remedy.acted_at is not None
    if clock() < remedy.acted_at + settings.route_settle:
        return
    async with engine.begin() as connection:
        registry = await registry_store.read_registry(connection)
    application = registry.applications[remedy.application_id]
    found = await check_route(engine, client, remedy, application.name, clock())
    is_last = clock() >= remedy.acted_at + settings.route_patience
    found["done"] = found["everywhere"] or is_last
    async with engine.begin() as connection:
        before = await store.lock_remedy(connection, remedy.id)
        if (before.route_check or {}).get("done"):
            return
        await store.change_remedy(connection, remedy.id, route_check=found)
        if not found["done"] or remedy.alert_id is None:
            return
        alert = await alert_store.lock_alert(connection, remedy.alert_id)
        state = "in_force" if found["everywhere"] else "not_in_force"
        alert = await note_remedy(connection, alert, remedy, state, found["reason"])
        if not found["everywhere"]:
            said = f"remedy {remedy.id} did not change the route everywhere: {found['reason']}"
            await escalate(connection, alert, application, said, clock=clock)


async def _look(
    connection: AsyncConnection, remedy_id: int, settings: Settings, clock: Clock
) -> None:
    remedy = await store.lock_remedy(connection, remedy_id)
    registry = await registry_store.read_registry(connection)
    scene = Scene(registry, settings, clock)
    if remedy.state == "proposed":
        await _expire(connection, remedy, scene)
        return
    if remedy.state != "acted" or remedy.outcome is not None:
        return
    if remedy.kind == "retrain":
        if remedy.alert_id is None:
            return
        alert = await alert_store.lock_alert(connection, remedy.alert_id)
        turned = await retraining.look(connection, remedy, alert, scene)
        if turned is not None:
            await conclude(connection, remedy, *turned, scene)
        return
    assert remedy.acted_at is not None
    current = registry.routes[remedy.application_id].current
    to = remedy.request.get("to")
    if current is not None and current.revision != remedy.to_revision and current.champion != to:
        said = f"revision {current.revision} replaced it before its outcome was known"
        await conclude(connection, remedy, "superseded", said, scene)
    elif clock() > remedy.acted_at + settings.remedy_patience:
        n = (remedy.outcome_detail or {}).get("n", 0)
        said = f"{n} fresh labels within {settings.remedy_patience} did not show that it helped"
        await conclude(connection, remedy, "not_recovered", said, scene)


async def _expire(connection: AsyncConnection, remedy: Remedy, scene: Scene) -> None:
    if remedy.attempts:
        # It was called before automation was switched off, and the answer was lost.
        key = str(remedy.idempotency_key)
        made = await registry_store.read_remedy_revision(connection, remedy.application_id, key)
        if made is not None:
            await finish(connection, remedy, "acted", scene, to_revision=made)
            return
    moved = has_moved(remedy, scene.registry)
    if moved is not None and remedy.kind in (*rules.ROUTE_KINDS, "retrain"):
        await finish(connection, remedy, "held", scene, reason=moved)


async def conclude(
    connection: AsyncConnection,
    remedy: Remedy,
    outcome: str,
    reason: str,
    scene: Scene,
) -> None:
    """Write how a remedy turned out, tell it, and take the next step where it did not help."""
    told = (remedy.outcome_detail or {}) | {"reason": reason}
    remedy = await store.change_remedy(connection, remedy.id, outcome=outcome, outcome_detail=told)
    application = scene.application_of(remedy)
    log.warning(
        "remedy_tested application=%s remedy=%d outcome=%s reason=%s",
        application.name,
        remedy.id,
        outcome,
        reason,
    )
    if remedy.alert_id is None:
        return
    alert = await alert_store.lock_alert(connection, remedy.alert_id)
    alert = await note_remedy(connection, alert, remedy, outcome, reason)
    await tell(
        connection,
        f"remedy.{outcome}",
        alert,
        application,
        {"remedy": remedy.id},
        clock=scene.clock,
    )
    if outcome == "not_recovered":
        await go_on(connection, remedy, alert, scene)
