"""Sends what waits in the outbox, and writes down every attempt."""

import asyncio
import logging
import smtplib
import time
from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor import metrics
from monitor.channels import render
from monitor.channels.email import send_email
from monitor.settings import Settings
from monitor.store import webhooks
from monitor.wall_clock import Clock
from monitor.webhook import Attempt, jitter, pause, send

log = logging.getLogger("monitor.outbox")

AT_ONCE = 8
"""Attempts that go on side by side: a slow receiver holds up one of them."""
SPARE = timedelta(seconds=5)
"""Added to the longest attempt before it may be made again by somebody else."""


async def send_due(
    engine: AsyncEngine, client: httpx.AsyncClient, settings: Settings, clock: Clock
) -> int:
    """Make one attempt at every delivery that is due; how many.

    An attempt is leased before it is made: a process that dies meanwhile leaves it to be made
    again, under the same id, by which the receiver knows a repetition.
    """
    async with engine.begin() as connection:
        due_at = await webhooks.next_delivery_at(connection)
    if due_at is None or due_at > clock():
        return 0

    async def work() -> int:
        made = 0
        while await _send_next(engine, client, settings, clock):
            made += 1
        return made

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(AT_ONCE)]
    return sum(worker.result() for worker in workers)


async def _send_next(
    engine: AsyncEngine, client: httpx.AsyncClient, settings: Settings, clock: Clock
) -> bool:
    async with engine.begin() as connection:
        # A mail server is asked several things in turn, each within the time limit.
        lease = clock() + 4 * settings.webhook_timeout + SPARE
        delivery = await webhooks.lease_delivery(connection, clock(), lease)
    if delivery is None:
        return False
    attempt = await _attempt(client, delivery, settings, clock)
    state, again = "delivered", None
    if not attempt.succeeded:
        state = "waiting"
        again = clock() + pause(delivery.attempts, settings.webhook_first_pause, jitter())
        since = delivery.waiting_since
        if since is not None and again > since + settings.webhook_patience:
            state, again = "dead", None
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
    return True


async def _attempt(
    client: httpx.AsyncClient, delivery: webhooks.Delivery, settings: Settings, clock: Clock
) -> Attempt:
    if delivery.format != "email":
        message = render(delivery, settings.console_url)
        return await send(
            client, delivery, message, clock(), allow_private=settings.webhook_allow_private
        )
    started = time.perf_counter()
    status, error = None, None
    try:
        await send_email(delivery, settings)
        status = TAKEN
    except (OSError, smtplib.SMTPException) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Attempt(status, error, (time.perf_counter() - started) * 1000)


TAKEN = 250
"""SMTP's word for a message that was taken."""
