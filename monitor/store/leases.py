"""Who reads which shard, held by leases.

All changes of leases go one after the other under an advisory lock. What keeps a row from being
evaluated twice is not the lease but the cursor's row lock, under which every turn runs to its
commit; the lease says who should read, and its token stops whoever should no more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import LeaseLostError, ShardsDifferError
from monitor.shards import Shard, shard_names

LEASE_LOCK = 7_530_341
"""Advisory lock of everything that is done to leases."""

TURN_NAME = "leadsman turn"
"""A turn's session is called so, with shard and token, that whoever takes over can end it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A monitor process as others see it."""

    id: UUID
    name: str


_LIVING = """
    SELECT p.id FROM monitor_processes p
     WHERE p.heartbeat_at > now() - CAST(:ttl AS interval)
       AND EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = p.backend_pid
                      AND coalesce(a.backend_start, p.backend_started_at) = p.backend_started_at)
"""
_BEAT = text("""
    INSERT INTO monitor_processes (id, name, backend_pid, backend_started_at)
    SELECT :id, :name, pid, coalesce(backend_start, now())
      FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), backend_pid = excluded.backend_pid,
           backend_started_at = excluded.backend_started_at
""")
_FORGET = text(f"""
    DELETE FROM monitor_processes
     WHERE heartbeat_at < now() - 10 * CAST(:ttl AS interval) AND id NOT IN ({_LIVING})
""")
_RENEW = text("""
    UPDATE monitor_leases SET expires_at = now() + CAST(:ttl AS interval) WHERE holder = :id
""")
_FAIR = text(f"""
    SELECT ceil((SELECT count(*) FROM monitor_leases)::float8
                / greatest(1, (SELECT count(*) FROM ({_LIVING}) living)))::int AS fair,
           (SELECT count(*) FROM monitor_leases WHERE holder = :id) AS mine
""")
_GIVE_BACK = text("""
    UPDATE monitor_leases SET holder = NULL, expires_at = NULL
     WHERE shard IN (SELECT shard FROM monitor_leases WHERE holder = :id
                      ORDER BY shard DESC LIMIT :surplus)
""")
_TAKE = text(f"""
    UPDATE monitor_leases SET holder = :id, token = token + 1,
           expires_at = now() + CAST(:ttl AS interval)
     WHERE shard IN (
           SELECT shard FROM monitor_leases
            WHERE holder IS NULL OR expires_at < now() OR holder NOT IN ({_LIVING})
            ORDER BY shard LIMIT :wanted)
""")
_HELD = text("SELECT shard, token FROM monitor_leases WHERE holder = :id ORDER BY shard")
_END_OLDER_TURNS = text(f"""
    SELECT count(pg_terminate_backend(a.pid))
      FROM pg_stat_activity a JOIN monitor_leases l ON l.holder = :id
       AND a.application_name LIKE '{TURN_NAME} ' || l.shard || ' %'
       AND split_part(a.application_name, ' ', 4)::bigint < l.token
     WHERE a.datname = current_database()
""")


async def lock_leases(connection: AsyncConnection) -> None:
    """Keep every other process from changing leases until the transaction ends."""
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({LEASE_LOCK})"))


async def lay_out(connection: AsyncConnection, count: int) -> None:
    """Make the shards at the first start; later, check that they are as many.

    Raises
    ------
    ShardsDifferError
        If the record is read in another number of shards.
    """
    found = await connection.execute(
        text("SELECT shard FROM monitor_leases UNION SELECT shard FROM monitor_cursors")
    )
    there, wanted = set(found.scalars()), shard_names(count)
    if there and there != set(wanted):
        raise ShardsDifferError(len(there), count)
    await connection.execute(
        text("INSERT INTO monitor_leases (shard) VALUES (:shard) ON CONFLICT DO NOTHING"),
        [{"shard": name} for name in wanted],
    )


async def beat(connection: AsyncConnection, me: Member, ttl: timedelta) -> list[Shard]:
    """Say that a process lives, renew its leases, give back or take up to its fair share.

    A lease is free when nobody holds it, when it has run out, or when the session over which its
    holder beats is gone, which after a kill is at once.
    """
    values = {"id": me.id, "name": me.name, "ttl": ttl}
    await connection.execute(_BEAT, values)
    await connection.execute(_FORGET, values)
    await connection.execute(_RENEW, values)
    fair, mine = (await connection.execute(_FAIR, values)).one()
    if mine > fair:
        await connection.execute(_GIVE_BACK, values | {"surplus": mine - fair})
    elif mine < fair:
        await connection.execute(_TAKE, values | {"wanted": fair - mine})
    await connection.execute(_END_OLDER_TURNS, values)
    return [Shard(row.shard, row.token) for row in await connection.execute(_HELD, values)]


async def leave(connection: AsyncConnection, me: Member) -> None:
    """Give everything back, so that others need not wait."""
    await connection.execute(
        text("UPDATE monitor_leases SET holder = NULL, expires_at = NULL WHERE holder = :id"),
        {"id": me.id},
    )
    await connection.execute(text("DELETE FROM monitor_processes WHERE id = :id"), {"id": me.id})


async def begin_turn(connection: AsyncConnection, shard: Shard) -> None:
    """Name the session after the turn, and check that the lease still stands.

    Raises
    ------
    LeaseLostError
        If another process took the shard.
    """
    if shard.token is None:
        return
    found = await connection.execute(
        text(
            "SELECT set_config('application_name', :name, true),"
            " (SELECT token FROM monitor_leases WHERE shard = :shard)"
        ),
        {"name": f"{TURN_NAME} {shard.name} {shard.token}", "shard": shard.name},
    )
    token = found.one()[1]
    if token != shard.token:
        raise LeaseLostError(shard.name, shard.token, token)


async def check_token(connection: AsyncConnection, shard: Shard) -> None:
    """Check, in the turn's own transaction, that nobody took the shard.

    Raises
    ------
    LeaseLostError
        If another process did; the transaction must be undone.
    """
    if shard.token is None:
        return
    token = (
        await connection.execute(
            text("SELECT token FROM monitor_leases WHERE shard = :shard"), {"shard": shard.name}
        )
    ).scalar_one_or_none()
    if token != shard.token:
        raise LeaseLostError(shard.name, shard.token, token)


async def read_holders(
    connection: AsyncConnection,
) -> list[tuple[str, str | None, datetime | None]]:
    """Each shard with the name of the process that holds it and the end of its lease."""
    found = await connection.execute(
        text(
            "SELECT l.shard, p.name, l.expires_at FROM monitor_leases l"
            " LEFT JOIN monitor_processes p ON p.id = l.holder ORDER BY l.shard"
        )
    )
    return [(row.shard, row.name, row.expires_at) for row in found]


async def count_living(connection: AsyncConnection, ttl: timedelta) -> int:
    """Monitor processes that live."""
    found = await connection.execute(text(_LIVING), {"ttl": ttl})
    return len(found.all())
