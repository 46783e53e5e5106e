"""Table `revisions`."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import RevisionNotFoundError, RouteNotFoundError
from serving.records import Application, Key, Revision, RevisionKind
from serving.schema import ApplicationRow, RevisionRow

CHANNEL = "leadsman_revisions"
"""Notified with the application's id at the commit of a new revision."""


def _query() -> Select[Any]:
    return (
        select(RevisionRow.__table__, ApplicationRow.name.label("application"))
        .select_from(RevisionRow)
        .join(ApplicationRow, ApplicationRow.id == RevisionRow.application_id)
    )


def _record(row: Any) -> Revision:
    return Revision(
        application_id=row.application_id,
        application=row.application,
        revision=row.revision,
        kind=row.kind,
        restores=row.restores,
        policy=row.policy,
        input_schema_id=row.input_schema_id,
        created_at=row.created_at,
        actor=row.actor,
        reason=row.reason,
        evidence=row.evidence,
        decided_at=row.decided_at,
    )


async def history(connection: AsyncConnection, application_id: int) -> list[Revision]:
    """Every revision of an application, the oldest first."""
    rows = await connection.execute(
        _query().where(RevisionRow.application_id == application_id).order_by(RevisionRow.revision)
    )
    return [_record(row) for row in rows]


async def of_all(connection: AsyncConnection) -> dict[str, list[Revision]]:
    """Every revision of every application that is not deleted, by its name, the oldest first."""
    rows = await connection.execute(
        _query()
        .where(ApplicationRow.deleted_at.is_(None))
        .order_by(ApplicationRow.name, RevisionRow.revision)
    )
    found: dict[str, list[Revision]] = {}
    for row in rows:
        found.setdefault(row.application, []).append(_record(row))
    return found


async def current(connection: AsyncConnection, application: Application) -> Revision:
    """The revision in force.

    Raises
    ------
    RouteNotFoundError
        If the application has none yet.
    """
    rows = await connection.execute(
        _query()
        .where(RevisionRow.application_id == application.id)
        .order_by(RevisionRow.revision.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    if row is None:
        raise RouteNotFoundError(application.name)
    return _record(row)


async def get(connection: AsyncConnection, application: Application, revision: int) -> Revision:
    """One revision.

    Raises
    ------
    RevisionNotFoundError
        If the application has no such one.
    """
    rows = await connection.execute(
        _query().where(
            RevisionRow.application_id == application.id, RevisionRow.revision == revision
        )
    )
    row = rows.one_or_none()
    if row is None:
        raise RevisionNotFoundError(application.name, revision)
    return _record(row)


async def append(
    connection: AsyncConnection,
    application: Application,
    *,
    revision: int,
    kind: RevisionKind,
    restores: int | None,
    policy: dict[str, Any],
    input_schema_id: int,
    key: Key,
    reason: str | None,
    evidence: dict[str, Any] | None,
    decided_at: datetime | None = None,
) -> Revision:
    """Put the next revision in force; the caller holds the application's lock."""
    await connection.execute(
        insert(RevisionRow).values(
            application_id=application.id,
            revision=revision,
            kind=kind,
            restores=restores,
            policy=policy,
            input_schema_id=input_schema_id,
            created_by=key.id,
            actor=key.name,
            reason=reason,
            evidence=evidence,
            decided_at=decided_at,
        )
    )
    await connection.execute(
        text("SELECT pg_notify(:channel, :id)"),
        {"channel": CHANNEL, "id": str(application.id)},
    )
    return await get(connection, application, revision)
