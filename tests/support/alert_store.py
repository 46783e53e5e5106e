"""Alerts and deliveries laid straight into a database."""

from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.alerts.telling import tell
from monitor.channels.webhook import new_secret
from monitor.records import Alert, Application
from monitor.store import alerts as alert_store
from monitor.wall_clock import Clock, utc_now
from tests.support.alert_cases import CASES, alert_of

MARKET = Application(1, "market", "binary", 100)


async def add_webhook(url: str, target: str, **more: Any) -> int:
    """A webhook for all tiers."""
    connection = await asyncpg.connect(url)
    try:
        number: int = await connection.fetchval(
            "INSERT INTO webhooks (url, secret, tiers, format, envelope)"
            ' VALUES ($1, $2, \'["rollback", "page", "info"]\', $3, $4) RETURNING id',
            target,
            more.get("secret") or new_secret(),
            more.get("format", "generic"),
            more.get("envelope", "none"),
        )
        return number
    finally:
        await connection.close()


async def open_alert(engine: AsyncEngine, case: str, **changes: Any) -> Alert:
    """An alert of one of the cases, not told yet."""
    made = alert_of(CASES[case])
    async with engine.begin() as connection:
        alert = await alert_store.add_alert(
            connection,
            application_id=1,
            subject=changes.pop("subject", made.subject),
            kind=made.kind,
            tier=changes.pop("tier", made.tier),
            state=changes.pop("state", made.state),
            title=made.title,
            detail=made.detail,
            opened_at=made.opened_at,
        )
        return await alert_store.change_alert(
            connection, alert.id, recovery=changes.pop("recovery", made.recovery)
        )


async def tell_of(engine: AsyncEngine, alert: Alert, event: str, clock: Clock = utc_now) -> None:
    """Put an event about it into the outbox."""
    async with engine.begin() as connection:
        await tell(connection, event, alert, MARKET, clock=clock)
