"""Everything that was written about one alert."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, and_, any_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import Remedy
from monitor.schema import (
    AlertEventRow,
    AlertRow,
    AutomationSwitchRow,
    DeliveryAttemptRow,
    DeliveryRow,
    RemedyRow,
)
from monitor.store import remedies as remedy_store
from monitor.store.alarms import read_alarms
from monitor.store.alerts import read_alert_events
from monitor.store.arrays import listed
from serving.schema import RevisionRow


@dataclass(frozen=True, slots=True)
class Traces:
    """What an alert left in the tables, oldest first."""

    events: Sequence[Row[Any]]
    alarms: Sequence[Row[Any]]
    remedies: Sequence[Remedy]
    shared: Sequence[Remedy]
    """Those that other alerts of the same version set off, as far as they stood meanwhile."""
    shared_events: Sequence[Row[Any]]
    """What the other alerts' history says of them since this one opened."""
    revisions: Sequence[Row[Any]]
    switches: Sequence[Row[Any]]
    deliveries: Sequence[Row[Any]]


async def read_traces(connection: AsyncConnection, alert: Row[Any]) -> Traces:
    """All lines about an alert. None of these tables is ever thinned out."""
    events = await read_alert_events(connection, alert.id)
    alarms = await read_alarms(
        connection, [e.detail["alarm"] for e in events if "alarm" in e.detail]
    )
    remedies = await remedy_store.read_of_alert(connection, alert.id)
    start = events[0].at if events else alert.opened_at
    shared = await _shared(connection, alert, start, events)
    return Traces(
        events,
        alarms,
        remedies,
        shared,
        await _shared_events(connection, alert, start, shared),
        await _revisions(connection, alert, start, [*remedies, *shared]),
        await _switches(connection, alert, start),
        await _deliveries(connection, alert.id),
    )


async def _shared(
    connection: AsyncConnection, alert: Row[Any], start: datetime, events: Sequence[Row[Any]]
) -> list[Remedy]:
    stood = [e.detail["remedy"] for e in events if e.event == "standing"]
    version = alert.detail.get("where", {}).get("version")
    during = and_(
        RemedyRow.request["from"].astext == version,
        RemedyRow.decided_at.between(start, alert.resolved_at or func.now()),
    )
    found = await connection.execute(
        select(*RemedyRow.__table__.c)
        .where(
            RemedyRow.application_id == alert.application_id,
            RemedyRow.alert_id.is_distinct_from(alert.id),
            or_(RemedyRow.id == any_(listed(stood)), during),
        )
        .order_by(RemedyRow.id)
    )
    return [remedy_store.remedy_of(row) for row in found]


async def _shared_events(
    connection: AsyncConnection, alert: Row[Any], start: datetime, shared: Sequence[Remedy]
) -> list[Row[Any]]:
    table = AlertEventRow
    found = await connection.execute(
        select(*table.__table__.c)
        .where(
            table.alert_id == any_(listed([r.alert_id for r in shared if r.alert_id])),
            table.event == "remedied",
            table.detail["remedy"].astext.cast(Integer) == any_(listed([r.id for r in shared])),
            table.at.between(start, alert.resolved_at or func.now()),
        )
        .order_by(table.id)
    )
    return list(found)


async def _revisions(
    connection: AsyncConnection, alert: Row[Any], start: datetime, remedies: Sequence[Remedy]
) -> list[Row[Any]]:
    made = [r.to_revision for r in remedies if r.to_revision is not None]
    during = RevisionRow.created_at.between(start, alert.resolved_at or func.now())
    return list(
        await connection.execute(
            select(
                RevisionRow.revision,
                RevisionRow.kind,
                RevisionRow.restores,
                RevisionRow.policy,
                RevisionRow.created_at,
                RevisionRow.actor,
                RevisionRow.reason,
            )
            .where(
                RevisionRow.application_id == alert.application_id,
                or_(during, RevisionRow.revision.in_(made)),
            )
            .order_by(RevisionRow.revision)
        )
    )


async def _switches(
    connection: AsyncConnection, alert: Row[Any], start: datetime
) -> list[Row[Any]]:
    table = AutomationSwitchRow
    return list(
        await connection.execute(
            select(*table.__table__.c)
            .where(
                or_(table.application_id.is_(None), table.application_id == alert.application_id),
                table.at.between(start, alert.resolved_at or func.now()),
            )
            .order_by(table.id)
        )
    )


async def _deliveries(connection: AsyncConnection, alert_id: int) -> list[Row[Any]]:
    attempts = (
        select(
            DeliveryAttemptRow.delivery_id,
            func.count().label("attempts"),
            func.max(DeliveryAttemptRow.at).label("last_at"),
        )
        .group_by(DeliveryAttemptRow.delivery_id)
        .subquery()
    )
    return list(
        await connection.execute(
            select(
                DeliveryRow.id,
                DeliveryRow.webhook_id,
                DeliveryRow.event,
                DeliveryRow.state,
                DeliveryRow.created_at,
                func.coalesce(attempts.c.attempts, 0).label("attempts"),
                attempts.c.last_at,
            )
            .outerjoin(attempts, attempts.c.delivery_id == DeliveryRow.id)
            .where(DeliveryRow.alert_id == alert_id)
            .order_by(DeliveryRow.sequence)
        )
    )


async def read_alert_row(connection: AsyncConnection, alert_id: int) -> Row[Any] | None:
    """An alert as it stands; none where there is none of that number."""
    return (
        await connection.execute(select(*AlertRow.__table__.c).where(AlertRow.id == alert_id))
    ).one_or_none()
