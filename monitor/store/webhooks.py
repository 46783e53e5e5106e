"""Webhooks, the outbox of deliveries, and every attempt."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    Row,
    all_,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from monitor.errors import NotFoundError
from monitor.records import Json
from monitor.schema import DeliveryAttemptRow, DeliveryRow, WebhookRow
from monitor.settings import Tier
from monitor.store.arrays import listed


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to send to one webhook."""

    id: UUID
    url: str
    secret: str
    body: Json
    attempts: int
    event: str = ""
    format: str = "generic"
    envelope: str = "none"
    webhook: int = 0
    waiting_since: datetime | None = None
    """Since when it is tried."""


async def add_deliveries(
    connection: AsyncConnection,
    *,
    event: str,
    application: str,
    tier: Tier,
    body: Json,
    alert_id: int | None,
    only: Collection[int] | None = None,
) -> int:
    """Put an event into the outbox, once for each webhook that wants it; how many do.

    Parameters
    ----------
    only
        Webhooks that get it, whatever they ask for.
    """
    wanted = 0
    for row in await read_webhooks(connection):
        concerns = row.applications is None or application in row.applications
        if (concerns and tier.value in row.tiers) if only is None else row.id in only:
            await add_delivery(connection, row.id, event=event, body=body, alert_id=alert_id)
            wanted += 1
    return wanted


async def add_delivery(
    connection: AsyncConnection, webhook_id: int, *, event: str, body: Json, alert_id: int | None
) -> UUID:
    """Put one delivery into the outbox."""
    identifier = uuid4()
    await connection.execute(
        insert(DeliveryRow).values(
            id=identifier,
            webhook_id=webhook_id,
            alert_id=alert_id,
            event=event,
            body=body,
            state="waiting",
            next_attempt_at=func.now(),
        )
    )
    return identifier


async def lease_delivery(
    connection: AsyncConnection,
    now: datetime,
    lease_until: datetime,
    *,
    but: Collection[int] = (),
) -> Delivery | None:
    """Take the next delivery that is due, so that no other process takes it too.

    Deliveries about one alert go out to a webhook in order: a later one waits until the one before
    was delivered or given up; it is tried for as long as the first, from its own first attempt on.

    Parameters
    ----------
    but
        Webhooks that get no more now.
    """
    full = listed(but)
    earlier = aliased(DeliveryRow)
    row = (
        await connection.execute(
            select(
                DeliveryRow.id,
                DeliveryRow.webhook_id,
                DeliveryRow.body,
                DeliveryRow.attempts,
                DeliveryRow.event,
                DeliveryRow.waiting_since,
                WebhookRow.url,
                WebhookRow.secret,
                WebhookRow.format,
                WebhookRow.envelope,
            )
            .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
            .where(
                DeliveryRow.state == "waiting",
                DeliveryRow.next_attempt_at <= now,
                DeliveryRow.webhook_id != all_(full),
                ~select(earlier.id)
                .where(
                    earlier.webhook_id == DeliveryRow.webhook_id,
                    # A test of the webhook is about no alert and waits for nothing.
                    earlier.alert_id == DeliveryRow.alert_id,
                    earlier.state == "waiting",
                    earlier.sequence < DeliveryRow.sequence,
                )
                .exists(),
            )
            .order_by(DeliveryRow.next_attempt_at, DeliveryRow.sequence)
            .limit(1)
            .with_for_update(of=DeliveryRow, skip_locked=True)
        )
    ).one_or_none()
    if row is None:
        return None
    since = row.waiting_since if row.attempts else max(row.waiting_since, now)
    await connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == row.id)
        .values(attempts=row.attempts + 1, next_attempt_at=lease_until, waiting_since=since)
    )
    return Delivery(
        row.id,
        row.url,
        row.secret,
        row.body,
        row.attempts + 1,
        row.event,
        row.format,
        row.envelope,
        row.webhook_id,
        since,
    )


async def told_of(connection: AsyncConnection, alert_id: int) -> set[int]:
    """Webhooks that were told of an alert, or of what was done about it."""
    news = DeliveryRow.event.like("alert.%") | DeliveryRow.event.like("remedy.%")
    query = select(DeliveryRow.webhook_id).where(DeliveryRow.alert_id == alert_id, news)
    return set((await connection.execute(query)).scalars())


async def save_attempt(
    connection: AsyncConnection,
    delivery: Delivery,
    *,
    state: str,
    next_attempt_at: datetime | None,
    status: int | None,
    error: str | None,
    duration_ms: float,
) -> None:
    """Write how an attempt went. A delivery that was given up meanwhile, with its webhook, stays so
    unless it arrived."""
    await connection.execute(
        insert(DeliveryAttemptRow).values(
            delivery_id=delivery.id,
            attempt=delivery.attempts,
            status=status,
            error=error,
            duration_ms=duration_ms,
        )
    )
    await connection.execute(
        update(DeliveryRow)
        .where(
            DeliveryRow.id == delivery.id,
            (DeliveryRow.state == "waiting") | (literal(state) == "delivered"),
        )
        .values(state=state, next_attempt_at=next_attempt_at)
    )


async def read_webhooks(connection: AsyncConnection) -> list[Row[Any]]:
    """Webhooks in force."""
    return list(
        await connection.execute(
            select(*WebhookRow.__table__.c)
            .where(WebhookRow.deleted_at.is_(None))
            .order_by(WebhookRow.id)
        )
    )


async def read_webhook(connection: AsyncConnection, webhook_id: int) -> Row[Any]:
    """One webhook in force."""
    for row in await read_webhooks(connection):
        if row.id == webhook_id:
            return row
    raise NotFoundError("webhook", webhook_id)


async def add_webhook(connection: AsyncConnection, **values: Any) -> Row[Any]:
    """Make a webhook."""
    return (
        await connection.execute(
            insert(WebhookRow).values(**values).returning(*WebhookRow.__table__.c)
        )
    ).one()


async def delete_webhook(connection: AsyncConnection, webhook_id: int) -> None:
    """Take a webhook out of force; what waits for it is given up."""
    await read_webhook(connection, webhook_id)
    await connection.execute(
        update(WebhookRow).where(WebhookRow.id == webhook_id).values(deleted_at=func.now())
    )
    await connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.state == "waiting")
        .values(state="dead", next_attempt_at=None)
    )


async def count_deliveries(connection: AsyncConnection) -> dict[tuple[int, str], int]:
    """How many deliveries of each webhook are in each state."""
    found = await connection.execute(
        select(DeliveryRow.webhook_id, DeliveryRow.state, func.count()).group_by(
            DeliveryRow.webhook_id, DeliveryRow.state
        )
    )
    return {(webhook, state): number for webhook, state, number in found}


async def read_deliveries(
    connection: AsyncConnection, webhook_id: int, *, state: str | None = None, limit: int = 200
) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """A webhook's deliveries, newest first, and their attempts."""
    deliveries = list(
        await connection.execute(
            select(*DeliveryRow.__table__.c)
            .where(
                DeliveryRow.webhook_id == webhook_id,
                true() if state is None else DeliveryRow.state == state,
            )
            .order_by(DeliveryRow.sequence.desc())
            .limit(limit)
        )
    )
    attempts = list(
        await connection.execute(
            select(*DeliveryAttemptRow.__table__.c)
            .where(DeliveryAttemptRow.delivery_id.in_([d.id for d in deliveries]))
            .order_by(DeliveryAttemptRow.delivery_id, DeliveryAttemptRow.attempt)
        )
    )
    return deliveries, attempts


async def redeliver(connection: AsyncConnection, webhook_id: int, delivery_id: UUID) -> None:
    """Send a delivery again, under its own id: a receiver that had it can tell."""
    await read_webhook(connection, webhook_id)
    again = await connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery_id, DeliveryRow.webhook_id == webhook_id)
        .values(state="waiting", next_attempt_at=func.now(), waiting_since=func.now())
        .returning(DeliveryRow.id)
    )
    if again.one_or_none() is None:
        raise NotFoundError("delivery", delivery_id)
