"""Sends what waits in the outbox, one attempt at a time, and writes down each."""

import logging
from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor import metrics
from monitor.settings import Settings
from monitor.store import webhooks
from monitor.wall_clock import Clock
from monitor.webhook import jitter, pause, send

log = logging.getLogger("monitor.outbox")


async def send_due(
    engine: AsyncEngine, client: httpx.AsyncClient, settings: Settings, clock: Clock
) -> int:
    """Make one attempt at every delivery that is due; how many.

    An attempt is leased before it is made: a process that dies meanwhile leaves it to be made
    again,
    under the same id, by which the receiver knows a repetition.
    """
    made = 0
    while True:
        async with engine.begin() as connection:
            lease = clock() + settings.webhook_timeout + timedelta(seconds=5)
            delivery = await webhooks.lease_delivery(connection, clock(), lease)
        if delivery is None:
            return made
        attempt = await send(
            client, delivery, clock(), allow_private=settings.webhook_allow_private
        )
        state, again = "delivered", None
        if not attempt.succeeded and delivery.attempts >= settings.webhook_attempts:
            state = "dead"
        elif not attempt.succeeded:
            state = "waiting"
            again = clock() + pause(delivery.attempts, settings.webhook_first_pause, jitter())
        async with engine.begin() as connection:
            await webhooks.save_attempt(
                connection,
                delivery,
                state=state,
                next_attempt_at=again,
                status=attempt.status,
                error=attempt.error,
                duration_ms=attempt.duration_ms,
            )
        metrics.DELIVERIES.labels(state).inc()
        if not attempt.succeeded:
            log.warning(
                "delivery_failed delivery=%s attempt=%d status=%s error=%s state=%s",
                delivery.id,
                delivery.attempts,
                attempt.status,
                attempt.error,
                state,
            )
        made += 1
