"""Carries out what was decided, after the decision is committed; safe to die at any instruction."""

import logging
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor import metrics
from monitor.alerts.telling import note_remedy, tell
from monitor.channels.webhook import jitter, pause
from monitor.errors import RevisionMovedError, ServingError, ServingUnavailableError
from monitor.records import Json, Registry, Remedy
from monitor.remedies import guards as remedies
from monitor.remedies import retraining, rules
from monitor.remedies.deciding import go_on, names_in_alarm
from monitor.remedies.scene import Scene
from monitor.serving_client import ServingClient
from monitor.settings import Settings
from monitor.store import alerts as alert_store
from monitor.store import automation
from monitor.store import registry as registry_store
from monitor.store import remedies as store
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.remedies.actor")

FIRST_PAUSE = timedelta(milliseconds=500)
"""After the first failed call to serving; it doubles with each."""


async def act_on_due(
    engine: AsyncEngine, client: ServingClient, settings: Settings, clock: Clock
) -> int:
    """Carry out every remedy that is due; how many calls were made."""
    made = 0
    while True:
        async with engine.begin() as connection:
            remedy = await store.lock_due_remedy(connection, clock())
            ready = remedy is not None and await _prepare(connection, remedy, settings, clock)
        if remedy is None:
            return made
        if ready:
            await _carry_out(engine, client, remedy, settings, clock)
            made += 1


async def _prepare(
    connection: AsyncConnection, remedy: Remedy, settings: Settings, clock: Clock
) -> bool:
    """Look at the guards once more and take the lease; whether the call may be made."""
    registry = await registry_store.read_registry(connection)
    scene = Scene(registry, settings, clock)
    done = await registry_store.read_remedy_revision(
        connection, remedy.application_id, str(remedy.idempotency_key)
    )
    if done is not None:
        # An earlier call succeeded and its answer was lost: the revision carries the remedy's key.
        await finish(connection, remedy, "acted", scene, to_revision=done)
        return False
    await automation.wait_for_switch(connection, alone=False)
    switch = await automation.read_automation(connection, remedy.application_id)
    if not switch.enabled:
        await finish(connection, remedy, "proposed", scene, reason=switch.said)
        return False
    others = [
        r for r in await store.read_remedies(connection, remedy.application_id) if r.id != remedy.id
    ]
    wait = remedies.pause(others, clock(), settings.remedy_cool_down)
    if wait is not None and remedy.kind in rules.ROUTE_KINDS:
        await store.change_remedy(
            connection, remedy.id, next_attempt_at=wait[0], state_reason=wait[1]
        )
        return False
    moved = has_moved(remedy, registry)
    if moved is not None:
        await finish(connection, remedy, "held", scene, reason=moved)
        return False
    alarmed = await names_in_alarm(connection, remedy.application_id, registry)
    target = remedy.request.get("to") if remedy.request.get("moves_traffic", True) else None
    barred = remedies.bar(target, alarmed, registry)
    if barred is not None:
        await finish(connection, remedy, "held", scene, reason=barred, next_step=True)
        return False
    if remedy.kind == "retrain":
        refused = await retraining.ask(connection, remedy, registry)
        state = "acted" if refused is None else "failed"
        await finish(
            connection, remedy, state, scene, reason=refused, next_step=refused is not None
        )
        return False
    await store.change_remedy(
        connection, remedy.id, attempts=remedy.attempts + 1, next_attempt_at=clock() + store.LEASE
    )
    return True


def has_moved(remedy: Remedy, registry: Registry) -> str | None:
    """Whether the route changed since a remedy was decided on, in words."""
    route = registry.routes.get(remedy.application_id)
    current = route.current if route else None
    if current is None or current.revision == remedy.from_revision:
        return None
    return f"the route moved from revision {remedy.from_revision} to {current.revision}"


async def _carry_out(
    engine: AsyncEngine, client: ServingClient, remedy: Remedy, settings: Settings, clock: Clock
) -> None:
    try:
        revision = await client.carry_out(remedy)
    except ServingUnavailableError as error:
        attempts = remedy.attempts + 1
        log.warning("remedy_delayed remedy=%d attempt=%d error=%s", remedy.id, attempts, error)
        async with engine.begin() as connection:
            if attempts >= settings.remedy_attempts:
                scene = await _scene(connection, settings, clock)
                await _end(connection, remedy, "failed", str(error), scene)
            else:
                again = clock() + pause(attempts, FIRST_PAUSE, jitter())
                await store.change_remedy(
                    connection, remedy.id, next_attempt_at=again, state_reason=str(error)
                )
        return
    except ServingError as error:
        state = "held" if isinstance(error, RevisionMovedError) else "failed"
        async with engine.begin() as connection:
            scene = await _scene(connection, settings, clock)
            await _end(connection, remedy, state, str(error), scene)
        return
    async with engine.begin() as connection:
        scene = await _scene(connection, settings, clock)
        await finish(connection, remedy, "acted", scene, to_revision=revision)


async def _scene(connection: AsyncConnection, settings: Settings, clock: Clock) -> Scene:
    return Scene(await registry_store.read_registry(connection), settings, clock)


async def _end(
    connection: AsyncConnection,
    remedy: Remedy,
    state: str,
    reason: str,
    scene: Scene,
) -> None:
    # It may be our own change that moved the route, made by a call whose answer was lost.
    done = await registry_store.read_remedy_revision(
        connection, remedy.application_id, str(remedy.idempotency_key)
    )
    if done is not None:
        await finish(connection, remedy, "acted", scene, to_revision=done)
        return
    await finish(connection, remedy, state, scene, reason=reason, next_step=state == "failed")


async def finish(
    connection: AsyncConnection,
    remedy: Remedy,
    state: str,
    scene: Scene,
    *,
    reason: str | None = None,
    to_revision: int | None = None,
    next_step: bool = False,
) -> None:
    """Write how carrying out ended, in the remedy, its alert and the outbox; then go on with the
    rule where it did not."""
    changes: Json = {}
    if state == "acted":
        changes = {"to_revision": to_revision, "acted_at": scene.clock()}
        if remedy.kind != "retrain" and not remedy.request.get("test"):
            changes["outcome"] = "untested"
    remedy = await store.change_remedy(
        connection, remedy.id, state=state, state_reason=reason, next_attempt_at=None, **changes
    )
    metrics.REMEDIES.labels(remedy.kind, state).inc()
    log.warning(
        "remedy_%s remedy=%d kind=%s to_revision=%s reason=%s",
        state,
        remedy.id,
        remedy.kind,
        to_revision,
        reason,
    )
    if remedy.alert_id is None:
        return
    alert = await alert_store.lock_alert(connection, remedy.alert_id)
    alert = await note_remedy(connection, alert, remedy, state, reason)
    await tell(
        connection,
        f"remedy.{state}",
        alert,
        scene.application_of(remedy),
        {"remedy": remedy.id, "to_revision": to_revision, "reason": reason},
        clock=scene.clock,
    )
    if next_step:
        await go_on(connection, remedy, alert, scene)
