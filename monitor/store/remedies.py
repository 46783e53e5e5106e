"""Remedies."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, any_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import NotFoundError
from monitor.records import Json, Remedy
from monitor.remedies.guards import IN_FLIGHT, Decided
from monitor.schema import DeliveryRow, RemedyRow
from monitor.settings import Mode
from monitor.store.arrays import listed

LEASE = timedelta(minutes=2)
"""For so long nobody else tries a remedy that one process has begun."""


async def add_remedy(
    connection: AsyncConnection,
    decided: Decided,
    *,
    application_id: int,
    alarm_id: int,
    alert_id: int,
    from_revision: int,
    key: UUID,
    rule: list[Json] | None = None,
    step: int = 0,
    follows: int | None = None,
) -> Remedy:
    """Write a decision."""
    row = (
        await connection.execute(
            insert(RemedyRow)
            .values(
                application_id=application_id,
                alarm_id=alarm_id,
                alert_id=alert_id,
                kind=decided.kind,
                mode=decided.mode.value,
                state=decided.state,
                state_reason=decided.reason,
                from_revision=from_revision,
                request=decided.request,
                idempotency_key=key,
                next_attempt_at=decided.not_before,
                rule=rule,
                step=step,
                follows=follows,
            )
            .returning(*RemedyRow.__table__.c)
        )
    ).one()
    return remedy_of(row)


async def read_remedies(
    connection: AsyncConnection, application_id: int | None = None, *, limit: int = 200
) -> list[Remedy]:
    """Remedies, newest first."""
    query = select(*RemedyRow.__table__.c).order_by(RemedyRow.id.desc()).limit(limit)
    if application_id is not None:
        query = query.where(RemedyRow.application_id == application_id)
    return [remedy_of(row) for row in await connection.execute(query)]


async def read_of_alert(connection: AsyncConnection, alert_id: int) -> list[Remedy]:
    """Remedies decided on for an alert, oldest first."""
    found = await connection.execute(
        select(*RemedyRow.__table__.c).where(RemedyRow.alert_id == alert_id).order_by(RemedyRow.id)
    )
    return [remedy_of(row) for row in found]


async def read_untested(connection: AsyncConnection, applications: Collection[int]) -> list[Remedy]:
    """Remedies that acted and whose outcome is not known, oldest first, locked."""
    wanted = RemedyRow.application_id == any_(listed(applications))
    found = await connection.execute(
        select(*RemedyRow.__table__.c)
        .where(RemedyRow.state == "acted", RemedyRow.outcome.is_(None), wanted)
        .order_by(RemedyRow.id)
        .with_for_update()
    )
    return [remedy_of(row) for row in found]


async def read_remedy(connection: AsyncConnection, remedy_id: int) -> Remedy:
    """One remedy."""
    row = (
        await connection.execute(select(*RemedyRow.__table__.c).where(RemedyRow.id == remedy_id))
    ).one_or_none()
    if row is None:
        raise NotFoundError("remedy", remedy_id)
    return remedy_of(row)


async def lock_remedy(connection: AsyncConnection, remedy_id: int) -> Remedy:
    """One remedy, kept from others until the transaction ends."""
    row = (
        await connection.execute(
            select(*RemedyRow.__table__.c).where(RemedyRow.id == remedy_id).with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("remedy", remedy_id)
    return remedy_of(row)


async def lock_due_remedy(connection: AsyncConnection, now: datetime) -> Remedy | None:
    """The oldest remedy to be carried out now, locked; one that another process holds is passed
    by."""
    row = (
        await connection.execute(
            select(*RemedyRow.__table__.c)
            .where(RemedyRow.state.in_(IN_FLIGHT), RemedyRow.next_attempt_at <= now)
            .order_by(RemedyRow.next_attempt_at, RemedyRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()
    return None if row is None else remedy_of(row)


async def change_remedy(connection: AsyncConnection, remedy_id: int, **changes: Any) -> Remedy:
    """Change a remedy's state and what belongs to it."""
    row = (
        await connection.execute(
            update(RemedyRow)
            .where(RemedyRow.id == remedy_id)
            .values(**changes)
            .returning(*RemedyRow.__table__.c)
        )
    ).one()
    return remedy_of(row)


async def read_unsettled(connection: AsyncConnection) -> list[Remedy]:
    """Remedies about which something is still to be found out or waited for, oldest first."""
    pending = (
        (RemedyRow.state == "proposed")
        | ((RemedyRow.state == "acted") & RemedyRow.outcome.is_(None))
        | (
            (RemedyRow.state == "acted")
            & RemedyRow.route_check["done"].astext.is_distinct_from("true")
        )
    )
    found = await connection.execute(
        select(*RemedyRow.__table__.c).where(pending).order_by(RemedyRow.id)
    )
    return [remedy_of(row) for row in found]


async def read_begun(connection: AsyncConnection) -> list[tuple[int, int]]:
    """Application and number of the remedies of which a call to serving may be on its way."""
    query = (
        select(RemedyRow.application_id, RemedyRow.id)
        .where(RemedyRow.state.in_(IN_FLIGHT), RemedyRow.attempts > 0)
        .order_by(RemedyRow.id)
    )
    return [(row.application_id, row.id) for row in await connection.execute(query)]


async def read_delivery_state(connection: AsyncConnection, delivery: str) -> str | None:
    """State of the delivery that a training was asked by."""
    return (
        await connection.execute(select(DeliveryRow.state).where(DeliveryRow.id == UUID(delivery)))
    ).scalar_one_or_none()


def remedy_of(row: Row[Any]) -> Remedy:
    return Remedy(
        row.id,
        row.application_id,
        row.alarm_id,
        row.alert_id,
        row.kind,
        Mode(row.mode),
        row.state,
        row.state_reason,
        row.from_revision,
        row.request,
        row.idempotency_key,
        row.attempts,
        row.next_attempt_at,
        row.decided_at,
        row.acted_at,
        row.to_revision,
        row.outcome,
        row.outcome_detail,
        row.rule,
        row.step,
        row.follows,
        row.route_check,
    )
