"""Sends what waits in the outbox, and writes down every attempt."""

import asyncio
import logging
import smtplib
import time
from collections import Counter
from datetime import timedelta

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor import metrics
from monitor.channels import render
from monitor.channels.email import send_email
from monitor.channels.webhook import Attempt, jitter, pause, send
from monitor.settings import Settings
from monitor.store import webhooks
from monitor.store.database import DATABASE_AWAY
from monitor.wall_clock import Clock

log = logging.getLogger("monitor.channels.outbox")

AT_ONCE = 32
"""Attempts that go on side by side."""
AT_ONCE_EACH = 4
"""Of these to one webhook: a slow receiver leaves room for the others."""
SPARE = timedelta(seconds=5)
"""Added to the longest attempt before it may be made again by somebody else."""


class Outbox:
    """Sends what is due, many at once.

    An attempt is leased before it is made: a process that dies meanwhile leaves it to be made
    again, under the same id, by which the receiver knows a repetition.
    """

    def __init__(
        self, engine: AsyncEngine, client: httpx.AsyncClient, settings: Settings, clock: Clock
    ) -> None:
        self.wake = asyncio.Event()
        """Set where something may be due."""
        self.made = 0
        """Attempts so far."""
        self._engine = engine
        self._client = client
        self._settings = settings
        self._clock = clock
        self._going: Counter[int] = Counter()
        """Attempts under way, by webhook."""

    async def run(self) -> None:
        """Send whenever woken, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self.wake.wait()
                self.wake.clear()
                try:
                    await self._begin(group)
                except DATABASE_AWAY as error:
                    log.warning("delivering_failed error=%s", error)

    async def drain(self) -> None:
        """Send until nothing is due any more."""
        async with asyncio.TaskGroup() as group:
            while await self._begin(group) or self._going.total():
                await self.wake.wait()
                self.wake.clear()

    async def _begin(self, group: asyncio.TaskGroup) -> int:
        """Begin as many attempts as there is room for; how many."""
        begun = 0
        while self._going.total() < AT_ONCE:
            full = [webhook for webhook, n in self._going.items() if n >= AT_ONCE_EACH]
            async with self._engine.begin() as connection:
                # A mail server is asked several things in turn, each within the time limit.
                lease = self._clock() + 4 * self._settings.webhook_timeout + SPARE
                delivery = await webhooks.lease_delivery(connection, self._clock(), lease, but=full)
            if delivery is None:
                break
            self._going[delivery.webhook] += 1
            group.create_task(self._send(delivery))
            begun += 1
        return begun

    async def _send(self, delivery: webhooks.Delivery) -> None:
        try:
            await self._try(delivery)
        except DATABASE_AWAY as error:
            # How it went is not written: it is made again when its lease has run out.
            log.warning("attempt_not_written delivery=%s error=%s", delivery.id, error)
        finally:
            self._going[delivery.webhook] -= 1
            self.made += 1
            self.wake.set()

    async def _try(self, delivery: webhooks.Delivery) -> None:
        try:
            attempt = await _attempt(self._client, delivery, self._settings, self._clock)
        except Exception as problem:
            # A body that cannot be made must not end the sending of all others.
            log.exception("attempt_broke delivery=%s", delivery.id)
            attempt = Attempt(None, f"{type(problem).__name__}: {problem}", 0.0)
        state, again = "delivered", None
        if not attempt.succeeded:
            state = "waiting"
            first = self._settings.webhook_first_pause
            again = self._clock() + pause(delivery.attempts, first, jitter())
            since = delivery.waiting_since
            if since is not None and again > since + self._settings.webhook_patience:
                state, again = "dead", None
        async with self._engine.begin() as connection:
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


async def send_due(
    engine: AsyncEngine, client: httpx.AsyncClient, settings: Settings, clock: Clock
) -> int:
    """Make one attempt at every delivery that is due; how many."""
    outbox = Outbox(engine, client, settings, clock)
    await outbox.drain()
    return outbox.made


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
