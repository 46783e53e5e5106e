"""Webhooks and what was sent to them."""

import re
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, status

from monitor.api.context import Admin, StateOf, Transaction, named
from monitor.api.forms import (
    AttemptAnswer,
    DeliveryAnswer,
    Queued,
    WebhookAnswer,
    WebhookMade,
    WebhookRequest,
)
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.channels.email import SCHEME
from monitor.channels.webhook import check_target, new_secret
from monitor.errors import InvalidRequestError
from monitor.settings import Settings
from monitor.store import webhooks as store
from monitor.wall_clock import utc_now

router = APIRouter(
    prefix="/v1/webhooks", tags=["webhooks"], responses=PROBLEMS, route_class=Changes
)


@router.get("", summary="List webhooks")
async def list_webhooks(connection: Transaction, _: Admin) -> list[WebhookAnswer]:
    """Webhooks in force, without their secrets; how much waits for each and was given up."""
    counts = await store.count_deliveries(connection)
    return [
        WebhookAnswer(
            id=r.id,
            url=r.url,
            format=r.format,
            envelope=r.envelope,
            applications=r.applications,
            tiers=r.tiers,
            created_at=r.created_at,
            waiting=counts.get((r.id, "waiting"), 0),
            dead=counts.get((r.id, "dead"), 0),
        )
        for r in await store.read_webhooks(connection)
    ]


@router.post("", status_code=status.HTTP_201_CREATED, summary="Make a webhook")
async def make_webhook(
    state: StateOf, connection: Transaction, _: Admin, body: WebhookRequest
) -> WebhookMade:
    """Send alerts to an address. The answer holds the secret that signs deliveries, this once."""
    form = await _format(body, state.settings)
    for name in body.applications or ():
        await named(connection, name)
    row = await store.add_webhook(
        connection,
        url=body.url,
        format=form,
        envelope=body.envelope,
        secret=body.secret or new_secret(),
        applications=body.applications,
        tiers=[tier.value for tier in body.tiers],
    )
    return WebhookMade(
        id=row.id,
        url=row.url,
        format=row.format,
        envelope=row.envelope,
        applications=row.applications,
        tiers=row.tiers,
        created_at=row.created_at,
        secret=row.secret,
    )


async def _format(body: WebhookRequest, settings: Settings) -> str:
    is_mail = body.url.startswith(SCHEME)
    form = body.format or ("email" if is_mail else "generic")
    if is_mail != (form == "email"):
        raise InvalidRequestError("/format", "email for a mailto: address, and only there", form)
    if body.envelope != "none" and form != "generic":
        raise InvalidRequestError("/envelope", "none for any format but generic", body.envelope)
    if not is_mail:
        await check_target(body.url, allow_private=settings.webhook_allow_private)
    elif not ADDRESS.fullmatch(body.url.removeprefix(SCHEME)):
        raise InvalidRequestError("/url", "mailto: and one address", body.url)
    elif settings.smtp_host is None:
        raise InvalidRequestError("/url", "no e-mail while MONITOR_SMTP_HOST is not set", body.url)
    return form


ADDRESS = re.compile(r"[^@\s,;:<>\"?&]+@[^@\s,;:<>\"?&]+")
"""One address; what would make it several, or a header, is refused."""


@router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Remove a webhook")
async def delete_webhook(connection: Transaction, _: Admin, webhook_id: int) -> None:
    """Send nothing there any more; what waits for it is given up."""
    await store.delete_webhook(connection, webhook_id)


@router.post(
    "/{webhook_id}/test", status_code=status.HTTP_202_ACCEPTED, summary="Send a test delivery"
)
async def test_webhook(connection: Transaction, caller: Admin, webhook_id: int) -> Queued:
    """Put a `webhook.test` into the outbox."""
    await store.read_webhook(connection, webhook_id)
    body = {"type": "webhook.test", "timestamp": utc_now().isoformat(), "data": {"by": caller.name}}
    return Queued(
        delivery=await store.add_delivery(
            connection, webhook_id, event="webhook.test", body=body, alert_id=None
        )
    )


@router.get("/{webhook_id}/deliveries", summary="List deliveries")
async def list_deliveries(
    connection: Transaction,
    _: Admin,
    webhook_id: int,
    state: Literal["waiting", "delivered", "dead"] | None = None,
) -> list[DeliveryAnswer]:
    """What was sent, newest first, with every attempt. State `dead`: what was given up."""
    await store.read_webhook(connection, webhook_id)
    deliveries, attempts = await store.read_deliveries(connection, webhook_id, state=state)
    return [
        DeliveryAnswer(
            id=d.id,
            event=d.event,
            alert=d.alert_id,
            state=d.state,
            created_at=d.created_at,
            next_attempt_at=d.next_attempt_at,
            body=d.body,
            attempts=[
                AttemptAnswer(
                    attempt=a.attempt,
                    at=a.at,
                    status=a.status,
                    error=a.error,
                    duration_ms=a.duration_ms,
                )
                for a in attempts
                if a.delivery_id == d.id
            ],
        )
        for d in deliveries
    ]


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Send a delivery again",
)
async def redeliver(
    connection: Transaction, _: Admin, webhook_id: int, delivery_id: UUID
) -> Queued:
    """Send it again under its own id, by which the receiver knows it."""
    await store.redeliver(connection, webhook_id, delivery_id)
    return Queued(delivery=delivery_id)
