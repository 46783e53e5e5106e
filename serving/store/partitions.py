"""Partitions of the hot tables: one a day, in UTC, made ahead."""

from datetime import UTC, date, datetime, time, timedelta

import asyncpg

DAYS_BEHIND = 1
"""A group shipped shortly after midnight may hold rows of the day before."""
DAYS_AHEAD = 7
"""How long nobody may make partitions before rows go to the default one."""
PARTITIONED = {"predictions": "predicted_at", "feedback": "received_at"}
"""Tables and the column of the day."""
PARTITION_LOCK = 7_530_212
"""Advisory lock: of two processes, one makes the partitions."""


def partition_name(table: str, day: date) -> str:
    """Name of a table's partition: `predictions_20261123`."""
    return f"{table}_{day:%Y%m%d}"


def days_around(now: datetime) -> list[date]:
    """Days whose partitions should exist at a moment."""
    today = now.astimezone(UTC).date()
    return [today + timedelta(days=n) for n in range(-DAYS_BEHIND, DAYS_AHEAD + 1)]


async def ensure_partitions(connection: asyncpg.Connection, days: list[date]) -> list[str]:
    """Make the partitions that are missing, in one transaction.

    Rows of such a day that went to the default partition meanwhile are moved to their own.

    Parameters
    ----------
    connection
        Outside any transaction.
    days
        In UTC.

    Returns
    -------
    list of str
        Names of the partitions that were made.
    """
    wanted = [(table, day) for table in PARTITIONED for day in days]
    missing = await _missing(connection, wanted)
    if not missing:
        return []
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '3s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
        # Another process may have made them while this one waited.
        missing = await _missing(connection, missing)
        for table, day in missing:
            await _make(connection, table, day)
    return [partition_name(table, day) for table, day in missing]


async def _missing(
    connection: asyncpg.Connection, wanted: list[tuple[str, date]]
) -> list[tuple[str, date]]:
    rows = await connection.fetch(
        """
        SELECT c.relname
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = ANY ($1::text[]::regclass[])
        """,
        list(PARTITIONED),
    )
    present = {row["relname"] for row in rows}
    return [(table, day) for table, day in wanted if partition_name(table, day) not in present]


async def _make(connection: asyncpg.Connection, table: str, day: date) -> None:
    name, column = partition_name(table, day), PARTITIONED[table]
    start = datetime.combine(day, time.min, UTC)
    bounds = start.isoformat(), (start + timedelta(days=1)).isoformat()
    # Made apart and attached: that locks the parent less than CREATE ... PARTITION OF does, and
    # leaves room to move rows that are in the default partition, which the attaching would refuse.
    await connection.execute(
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    await connection.execute(
        f"""
        WITH moved AS (
            DELETE FROM {table}_default
             WHERE {column} >= '{bounds[0]}' AND {column} < '{bounds[1]}'
            RETURNING *
        )
        INSERT INTO {name} SELECT * FROM moved
        """
    )
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
    )
