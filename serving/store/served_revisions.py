"""Table `served_revisions`: which revision each serving process answers by."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.store.fleet import LIVING
from serving.store.notices import Channel


@dataclass(frozen=True, slots=True)
class RouteProcess:
    """One serving process, as the route of an application sees it."""

    name: str
    pid: int
    living: bool
    """False once it was killed, hangs, or is cut off from Postgres: which of them is not known."""
    heartbeat_at: datetime
    revision: int | None
    """What it answers by; None while it has no route for the application."""
    switched_at: datetime | None


async def write(
    connection: asyncpg.Connection, process: UUID, revisions: Mapping[int, int]
) -> None:
    """Say what a process has switched to, by application id, and tell the others.

    Nothing is written for a process whose place was taken.
    """
    # The notices leave with the commit of the rows: who heard one finds the row.
    await connection.execute(
        """
        WITH written AS (
            INSERT INTO served_revisions (process_id, application_id, revision)
            SELECT p.id, s.application_id, s.revision
              FROM serving_processes p,
                   unnest($2::int[], $3::int[]) AS s (application_id, revision)
             WHERE p.id = $1
                ON CONFLICT (process_id, application_id)
                DO UPDATE SET revision = excluded.revision,
                              switched_at = CASE WHEN served_revisions.revision = excluded.revision
                                                 THEN served_revisions.switched_at ELSE now() END
         RETURNING application_id, revision
        )
        SELECT pg_notify($4, application_id || ':' || revision || ':' || $1::text) FROM written
        """,
        process, list(revisions), list(revisions.values()), Channel.SWITCHED.value,
    )  # fmt: skip


async def drop(
    connection: asyncpg.Connection, process: UUID, applications: Collection[int]
) -> None:
    """Say that a process answers for some applications no longer."""
    await connection.execute(
        "DELETE FROM served_revisions WHERE process_id = $1 AND application_id = ANY($2::int[])",
        process, list(applications),
    )  # fmt: skip


async def of_application(connection: AsyncConnection, application_id: int) -> list[RouteProcess]:
    """Every serving process that is known, by name."""
    rows = await connection.execute(
        text(f"""
            SELECT p.name, p.pid, ({LIVING}) AS living, p.heartbeat_at, s.revision, s.switched_at
              FROM serving_processes p
              LEFT JOIN served_revisions s
                ON s.process_id = p.id AND s.application_id = :application
          ORDER BY p.name
        """),
        {"application": application_id},
    )
    return [RouteProcess(*row) for row in rows]
