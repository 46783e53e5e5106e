"""Carries out what was decided, after the decision is committed; safe to die at any instruction."""

import logging
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor import metrics, remedies
from monitor.deciding import names_in_alarm
from monitor.errors import RevisionMovedError, ServingError, ServingUnavailableError
from monitor.records import Remedy
from monitor.serving_client import ServingClient
from monitor.settings import Settings
from monitor.store import alerts as alert_store
from monitor.store import registry as registry_store
from monitor.store import remedies as store
from monitor.telling import note_remedy, tell
from monitor.wall_clock import Clock
from monitor.webhook import jitter, pause

log = logging.getLogger("monitor.actor")

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
    done = await registry_store.read_remedy_revision(
        connection, remedy.application_id, str(remedy.idempotency_key)
    )
    if done is not None:
        # An earlier call succeeded and its answer was lost: the revision carries the remedy's key.
        await _finish(connection, remedy, "acted", None, clock, to_revision=done)
        return False
    others = await store.read_remedies(connection, remedy.application_id)
    wait = remedies.pause(others, clock(), settings.remedy_cool_down, besides=remedy.id)
    if wait is not None:
        await store.change_remedy(
            connection, remedy.id, next_attempt_at=wait[0], state_reason=wait[1]
        )
        return False
    barred = remedies.bar(
        remedy.request["to"], await names_in_alarm(connection, remedy.application_id, registry)
    )
    current = registry.routes[remedy.application_id].current
    if current is not None and current.revision != remedy.from_revision:
        barred = f"the route moved from revision {remedy.from_revision} to {current.revision}"
    if barred is not None:
        await _finish(connection, remedy, "held", barred, clock)
        return False
    await store.change_remedy(
        connection, remedy.id, attempts=remedy.attempts + 1, next_attempt_at=clock() + store.LEASE
    )
    return True


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
                await _finish(connection, remedy, "failed", str(error), clock)
            else:
                again = clock() + pause(attempts, FIRST_PAUSE, jitter())
                await store.change_remedy(
                    connection, remedy.id, next_attempt_at=again, state_reason=str(error)
                )
        return
    except ServingError as error:
        state = "held" if isinstance(error, RevisionMovedError) else "failed"
        async with engine.begin() as connection:
            # It may be our own change that moved the route, made by a call whose answer was lost.
            done = await registry_store.read_remedy_revision(
                connection, remedy.application_id, str(remedy.idempotency_key)
            )
            if done is None:
                await _finish(connection, remedy, state, str(error), clock)
            else:
                await _finish(connection, remedy, "acted", None, clock, to_revision=done)
        return
    async with engine.begin() as connection:
        await _finish(connection, remedy, "acted", None, clock, to_revision=revision)


async def _finish(
    connection: AsyncConnection,
    remedy: Remedy,
    state: str,
    reason: str | None,
    clock: Clock,
    *,
    to_revision: int | None = None,
) -> None:
    changes = {} if to_revision is None else {"to_revision": to_revision, "acted_at": clock()}
    await store.change_remedy(
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
    registry = await registry_store.read_registry(connection)
    alert = await alert_store.lock_alert(connection, remedy.alert_id)
    alert = await note_remedy(connection, alert, remedy, state, reason)
    await tell(
        connection,
        f"remedy.{state}",
        alert,
        registry.applications[remedy.application_id],
        {"remedy": remedy.id, "to_revision": to_revision, "reason": reason},
    )
