"""Alerts, their history, and silences."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Row,
    any_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import NotFoundError
from monitor.records import Alert, Json, Silence
from monitor.schema import AlertEventRow, AlertRow, SilenceRow
from monitor.settings import Tier
from monitor.store.arrays import listed


async def find_open_alert(
    connection: AsyncConnection, application_id: int, subject: str, kind: str
) -> Alert | None:
    """The one open alert of a cause, locked."""
    row = (
        await connection.execute(
            select(*AlertRow.__table__.c)
            .where(
                AlertRow.application_id == application_id,
                AlertRow.subject == subject,
                AlertRow.kind == kind,
                AlertRow.state != "resolved",
            )
            .with_for_update()
        )
    ).one_or_none()
    return None if row is None else _alert(row)


async def read_alerts(
    connection: AsyncConnection,
    *,
    application_id: int | None = None,
    state: str | None = None,
    is_open: bool = False,
    limit: int | None = None,
) -> list[Alert]:
    """Alerts, newest first."""
    query = select(*AlertRow.__table__.c).order_by(AlertRow.id.desc()).limit(limit)
    if application_id is not None:
        query = query.where(AlertRow.application_id == application_id)
    if state is not None:
        query = query.where(AlertRow.state == state)
    if is_open:
        query = query.where(AlertRow.state != "resolved")
    return [_alert(row) for row in await connection.execute(query)]


async def read_open(connection: AsyncConnection, applications: Collection[int]) -> list[Alert]:
    """Open alerts of some applications, newest first."""
    wanted = listed(applications)
    query = (
        select(*AlertRow.__table__.c)
        .where(AlertRow.state != "resolved", AlertRow.application_id == any_(wanted))
        .order_by(AlertRow.id.desc())
    )
    return [_alert(row) for row in await connection.execute(query)]


async def read_untold(connection: AsyncConnection, applications: Collection[int]) -> list[Alert]:
    """Alerts of some applications that stand, that no worse one explains, and of which something
    was held back; locked, but for those that another transaction holds."""
    query = (
        select(*AlertRow.__table__.c)
        .where(
            AlertRow.application_id == any_(listed(applications)),
            AlertRow.state != "resolved",
            AlertRow.inhibited_by.is_(None),
            AlertRow.told_at.is_(None),
        )
        .order_by(AlertRow.id)
        .with_for_update(skip_locked=True)
    )
    return [_alert(row) for row in await connection.execute(query)]


async def lock_free(connection: AsyncConnection, alert_id: int) -> Alert | None:
    """One alert as it is now, locked; none where another transaction holds it."""
    query = select(*AlertRow.__table__.c).where(AlertRow.id == alert_id)
    row = (await connection.execute(query.with_for_update(skip_locked=True))).one_or_none()
    return None if row is None else _alert(row)


async def mark_told(connection: AsyncConnection, alert_id: int, *, told: bool) -> None:
    """Note that people were told that an alert stands, or that they are still to be told."""
    await connection.execute(
        update(AlertRow).where(AlertRow.id == alert_id).values(told_at=func.now() if told else None)
    )


async def save_recovery(connection: AsyncConnection, alert_id: int, recovery: Json) -> None:
    """Keep where the test of an alert's recovery stands; that is no change to be told."""
    await connection.execute(
        update(AlertRow).where(AlertRow.id == alert_id).values(recovery=recovery)
    )


async def read_alert(connection: AsyncConnection, alert_id: int, *, lock: bool = False) -> Alert:
    """One alert; where it is locked, kept from others until the transaction ends."""
    query = select(*AlertRow.__table__.c).where(AlertRow.id == alert_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFoundError("alert", alert_id)
    return _alert(row)


async def lock_alert(connection: AsyncConnection, alert_id: int) -> Alert:
    """One alert, kept from others until the transaction ends."""
    return await read_alert(connection, alert_id, lock=True)


async def add_alert(
    connection: AsyncConnection,
    *,
    application_id: int,
    subject: str,
    kind: str,
    tier: Tier,
    state: str,
    title: str,
    detail: Json,
    opened_at: datetime,
) -> Alert:
    """Open an alert."""
    row = (
        await connection.execute(
            insert(AlertRow)
            .values(
                application_id=application_id,
                subject=subject,
                kind=kind,
                tier=tier.value,
                state=state,
                title=title,
                detail=detail,
                opened_at=opened_at,
            )
            .returning(*AlertRow.__table__.c)
        )
    ).one()
    return _alert(row)


async def change_alert(connection: AsyncConnection, alert_id: int, **changes: Any) -> Alert:
    """Change an alert's state, tier, title or detail."""
    if changes.get("state") == "resolved":
        changes["resolved_at"] = func.now()
    row = (
        await connection.execute(
            update(AlertRow)
            .where(AlertRow.id == alert_id)
            .values(updated_at=func.now(), **changes)
            .returning(*AlertRow.__table__.c)
        )
    ).one()
    return _alert(row)


async def add_alert_event(
    connection: AsyncConnection, alert_id: int, event: str, actor: str, detail: Json
) -> None:
    """Write a line of an alert's history."""
    await connection.execute(
        insert(AlertEventRow).values(alert_id=alert_id, event=event, actor=actor, detail=detail)
    )


async def read_alert_events(connection: AsyncConnection, alert_id: int) -> list[Row[Any]]:
    """An alert's history, oldest first."""
    return list(
        await connection.execute(
            select(*AlertEventRow.__table__.c)
            .where(AlertEventRow.alert_id == alert_id)
            .order_by(AlertEventRow.id)
        )
    )


async def read_silences(
    connection: AsyncConnection, now: datetime, application_id: int | None = None
) -> list[Silence]:
    """Silences that still hold."""
    query = select(*SilenceRow.__table__.c).where(SilenceRow.until > now).order_by(SilenceRow.id)
    if application_id is not None:
        query = query.where(SilenceRow.application_id == application_id)
    return [_silence(row) for row in await connection.execute(query)]


async def add_silence(connection: AsyncConnection, **values: Any) -> Silence:
    """Hold back deliveries."""
    made = await connection.execute(
        insert(SilenceRow).values(**values).returning(*SilenceRow.__table__.c)
    )
    return _silence(made.one())


async def delete_silence(connection: AsyncConnection, silence_id: int) -> None:
    """End a silence."""
    gone = await connection.execute(
        delete(SilenceRow).where(SilenceRow.id == silence_id).returning(SilenceRow.id)
    )
    if gone.one_or_none() is None:
        raise NotFoundError("silence", silence_id)


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        row.id,
        row.application_id,
        row.subject,
        row.kind,
        Tier(row.tier),
        row.state,
        row.title,
        row.detail,
        row.opened_at,
        row.updated_at,
        row.resolved_at,
        row.inhibited_by,
        row.told_at,
        row.recovery,
    )


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        row.id, row.application_id, row.kind, row.until, row.author, row.reason, row.created_at
    )
