"""Table `revisions`."""

import json
from datetime import datetime
from typing import Any

import asyncpg
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


async def after(connection: asyncpg.Connection, revision: Revision) -> list[Revision]:
    """Revisions of the same application that came later, the oldest first."""
    rows = await connection.fetch(
        "SELECT *, policy::text AS policy_text, evidence::text AS evidence_text FROM revisions"
        " WHERE application_id = $1 AND revision > $2 ORDER BY revision",
        revision.application_id, revision.revision,
    )  # fmt: skip
    return [
        Revision(
            application_id=row["application_id"],
            application=revision.application,
            revision=row["revision"],
            kind=row["kind"],
            restores=row["restores"],
            policy=json.loads(row["policy_text"]),
            input_schema_id=row["input_schema_id"],
            created_at=row["created_at"],
            actor=row["actor"],
            reason=row["reason"],
            evidence=None if row["evidence_text"] is None else json.loads(row["evidence_text"]),
            decided_at=row["decided_at"],
        )
        for row in rows
    ]


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


async def append_rollback(
    connection: AsyncConnection,
    *,
    after: Revision,
    target: Revision,
    key: Key,
    reason: str | None,
    evidence: dict[str, Any] | None,
    decided_at: datetime,
) -> Revision | None:
    """Restore a revision in one statement; None where `after` is not in force any more.

    Under full load each question to Postgres waits for its turn: this is the one that a rollback
    needs. The application's row is held as `lock` does; a number that was given meanwhile
    conflicts.
    """
    rows = await connection.execute(
        text(_APPEND_ROLLBACK),
        {
            "application_id": after.application_id,
            "revision": after.revision + 1,
            "restores": target.revision,
            "policy": json.dumps(target.policy),
            "input_schema_id": target.input_schema_id,
            "created_by": key.id,
            "actor": key.name,
            "reason": reason,
            "evidence": None if evidence is None else json.dumps(evidence),
            "decided_at": decided_at,
            "channel": CHANNEL,
        },
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return Revision(
        application_id=after.application_id,
        application=after.application,
        revision=after.revision + 1,
        kind="rollback",
        restores=target.revision,
        policy=target.policy,
        input_schema_id=target.input_schema_id,
        created_at=row.created_at,
        actor=key.name,
        reason=reason,
        evidence=evidence,
        decided_at=decided_at,
    )


_APPEND_ROLLBACK = """
WITH held AS (
    SELECT id FROM applications WHERE id = :application_id AND deleted_at IS NULL FOR UPDATE
), made AS (
    INSERT INTO revisions (application_id, revision, kind, restores, policy, input_schema_id,
                           decided_at, created_by, actor, reason, evidence)
    SELECT id, :revision, 'rollback', :restores, CAST(:policy AS jsonb), :input_schema_id,
           :decided_at, :created_by, :actor, :reason, CAST(:evidence AS jsonb)
      FROM held
        ON CONFLICT DO NOTHING
 RETURNING application_id, created_at
)
SELECT created_at, pg_notify(:channel, application_id::text) FROM made
"""
