"""Which serving processes live, and what they agree on before a route changes.

Tables `serving_processes`, `route_announcements` and `route_announcement_answers`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.schema import AnnouncementRow
from serving.store.notices import Channel, notify

LIVING_SECONDS = 6.0
"""Age of a heartbeat at which a process counts as gone: some beats were missed. One that was
killed counts as gone at once, as its connection has ended."""
FORGOTTEN_DAYS = 1.0
"""Age at which the row of a process that never came back is dropped."""

LIVING = f"""
    heartbeat_at > clock_timestamp() - make_interval(secs => {LIVING_SECONDS})
    AND EXISTS (SELECT FROM pg_stat_get_activity(backend_pid))
"""
"""SQL condition on `serving_processes`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """By what one sees that an application has changed."""

    name: str
    deleted: bool
    written: str
    """Transaction that wrote the row: every change of a setting makes another one."""
    revision: int


@dataclass(frozen=True, slots=True)
class Announced:
    """A route change that waits for this process."""

    id: UUID
    policy: dict[str, Any]
    schema: dict[str, Any]
    probe: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Participant:
    """Another living process, and what it said."""

    id: UUID
    name: str
    answer: dict[str, Any] | None
    """None as long as it has said nothing; empty where it is ready."""


async def register(connection: asyncpg.Connection, process: UUID, name: str, pid: int) -> None:
    """Take the place of this process; one that had it before is gone."""
    async with connection.transaction():
        await connection.execute(
            "DELETE FROM serving_processes WHERE (name = $1 AND id <> $2)"
            " OR heartbeat_at < now() - make_interval(days => $3::int)",
            name, process, int(FORGOTTEN_DAYS),
        )  # fmt: skip
        await connection.execute(
            """
            INSERT INTO serving_processes (id, name, pid, backend_pid)
            VALUES ($1, $2, $3, pg_backend_pid())
            ON CONFLICT (id) DO UPDATE
               SET heartbeat_at = now(), backend_pid = pg_backend_pid(), name = $2, pid = $3
            """,
            process, name, pid,
        )  # fmt: skip


async def beat(connection: asyncpg.Connection, process: UUID) -> bool:
    """Say that this process lives; False if its place was taken."""
    status: str = await connection.execute(
        "UPDATE serving_processes SET heartbeat_at = now() WHERE id = $1", process
    )
    return status == "UPDATE 1"


async def leave(connection: asyncpg.Connection, process: UUID) -> None:
    """Give the place up."""
    await connection.execute("DELETE FROM serving_processes WHERE id = $1", process)


async def marks(
    connection: asyncpg.Connection, only: Sequence[int] | None = None
) -> dict[int, Mark]:
    """By application id: what shows a change. All applications, or only some."""
    rows = await connection.fetch(
        """
        SELECT a.id, a.name, a.deleted_at IS NOT NULL AS deleted, a.xmin::text AS written,
               coalesce((SELECT max(revision) FROM revisions r WHERE r.application_id = a.id), 0)
                   AS revision
          FROM applications a
         WHERE $1::int[] IS NULL OR a.id = ANY($1::int[])
      ORDER BY a.id
        """,
        only,
    )
    return {row["id"]: Mark(row["name"], row["deleted"], row["written"], row["revision"])
            for row in rows}  # fmt: skip


async def waiting_for(
    connection: asyncpg.Connection, process: UUID
) -> tuple[list[Announced], set[UUID]]:
    """Announcements that this process has not answered, and the ids of all that are open."""
    rows = await connection.fetch(
        f"""
        SELECT n.id, n.policy::text, n.schema::text, n.probe::text, n.announced_by,
               EXISTS (SELECT FROM route_announcement_answers x
                        WHERE x.announcement_id = n.id AND x.process_id = $1) AS answered
          FROM route_announcements n
          JOIN serving_processes p ON p.id = n.announced_by AND {LIVING}
         WHERE n.expires_at > now()
        """,
        process,
    )
    unanswered = [
        Announced(
            row["id"], json.loads(row["policy"]), json.loads(row["schema"]),
            None if row["probe"] is None else json.loads(row["probe"]),
        )
        for row in rows
        if not row["answered"] and row["announced_by"] != process
    ]  # fmt: skip
    return unanswered, {row["id"] for row in rows}


async def announce(
    connection: AsyncConnection,
    announcement: UUID,
    *,
    application_id: int,
    policy: dict[str, Any],
    schema: dict[str, Any],
    probe: dict[str, Any] | None,
    process: UUID,
    seconds: float,
) -> None:
    """Tell every process of a change that is to come; drop what nobody decided in time."""
    await connection.execute(text("DELETE FROM route_announcements WHERE expires_at < now()"))
    await connection.execute(
        text("""
            INSERT INTO route_announcements
                   (id, application_id, policy, schema, probe, announced_by, expires_at)
            VALUES (:id, :application_id, CAST(:policy AS jsonb), CAST(:schema AS json),
                    CAST(:probe AS jsonb), :process, now() + make_interval(secs => :seconds))
        """),
        {
            "id": announcement,
            "application_id": application_id,
            "policy": json.dumps(policy),
            "schema": json.dumps(schema),
            "probe": None if probe is None else json.dumps(probe),
            "process": process,
            "seconds": seconds,
        },
    )
    await notify(connection, Channel.ANNOUNCEMENTS, announcement)


async def answer(
    connection: AsyncConnection, announcement: UUID, process: UUID, said: dict[str, Any]
) -> None:
    """Say whether this process is ready; nothing happens where the change was decided meanwhile."""
    await connection.execute(
        text("""
            INSERT INTO route_announcement_answers (announcement_id, process_id, answer)
            SELECT id, :process, CAST(:said AS jsonb) FROM route_announcements WHERE id = :id
                ON CONFLICT DO NOTHING
        """),
        {"id": announcement, "process": process, "said": json.dumps(said)},
    )
    await notify(connection, Channel.ANNOUNCEMENTS, announcement)


async def close(connection: AsyncConnection, announcement: UUID) -> None:
    """The change is decided, or given up."""
    await connection.execute(delete(AnnouncementRow).where(AnnouncementRow.id == announcement))
    await notify(connection, Channel.ANNOUNCEMENTS, announcement)


async def living(connection: AsyncConnection) -> dict[UUID, str]:
    """Names of all living processes, by id."""
    rows = await connection.execute(text(f"SELECT id, name FROM serving_processes WHERE {LIVING}"))
    return {row.id: row.name for row in rows}


async def others(
    connection: AsyncConnection, process: UUID, announcement: UUID | None = None
) -> list[Participant]:
    """The other living processes, each with what it said to an announcement."""
    rows = await connection.execute(
        text(f"""
            SELECT p.id, p.name, x.answer
              FROM serving_processes p
              LEFT JOIN route_announcement_answers x
                ON x.process_id = p.id AND x.announcement_id = :announcement
             WHERE p.id <> :process AND {LIVING}
          ORDER BY p.name
        """),
        {"process": process, "announcement": announcement},
    )
    found = []
    for row in rows:
        said = json.loads(row.answer) if isinstance(row.answer, str) else row.answer
        found.append(Participant(row.id, row.name, said))
    return found
