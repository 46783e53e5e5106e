"""Days of the record: which there are, which may go, and their going."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

RETENTION_LOCK = 7_530_342
"""Advisory lock: of several monitors one drops."""
LOCK_TIMEOUT_MS = 2000
"""Dropping waits no longer for the lock that keeps serving from writing; it tries again later."""

_DAY = re.compile(r"(predictions|feedback)_(\d{8})")
_COLUMN = {
    "predictions": ("predicted_from", "predicted_to"),
    "feedback": ("received_from", "received_to"),
}

_TABLES = text("""
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent IN ('predictions'::regclass, 'feedback'::regclass)
""")
# A shard that never read stands at the beginning; without any shard nobody has read anything.
_SLOWEST = """
    (SELECT CAST(CAST(coalesce(c.xact_id, 0) AS text) AS xid8), coalesce(c.shipment_id, 0)
       FROM (SELECT shard FROM monitor_leases UNION SELECT shard FROM monitor_cursors
             UNION ALL SELECT NULL WHERE NOT EXISTS (SELECT 1 FROM monitor_cursors)) l
       LEFT JOIN monitor_cursors c ON c.shard = l.shard
      ORDER BY coalesce(c.xact_id, 0), coalesce(c.shipment_id, 0) LIMIT 1)
"""


def bounds(day: date) -> tuple[datetime, datetime]:
    """First moment of a day in UTC and of the next."""
    start = datetime.combine(day, time.min, UTC)
    return start, start + timedelta(days=1)


async def hold(connection: AsyncConnection) -> bool:
    """Keep other monitors from dropping until the transaction ends; false if one does already."""
    await connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
    found = await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({RETENTION_LOCK})"))
    return bool(found.scalar_one())


async def read_days(connection: AsyncConnection) -> dict[str, list[date]]:
    """Days that have a partition, oldest first, by table."""
    days: dict[str, list[date]] = {"predictions": [], "feedback": []}
    for name in (await connection.execute(_TABLES)).scalars():
        found = _DAY.fullmatch(name)
        if found is not None:
            day = datetime.strptime(found[2], "%Y%m%d").replace(tzinfo=UTC).date()
            days[found[1]].append(day)
    return {table: sorted(found) for table, found in days.items()}


async def lock_day(connection: AsyncConnection, table: str, day: date) -> bool:
    """Keep writers out of a day, and see whether every shard has read all of it.

    A shipment that is being written holds the day; so once it is locked, whatever it will ever
    hold of shipments under way is there to be seen.
    """
    await connection.execute(text(f"LOCK TABLE {table}_{day:%Y%m%d} IN ACCESS EXCLUSIVE MODE"))
    low, high = _COLUMN[table]
    start, end = bounds(day)
    unread = await connection.execute(
        text(
            f"SELECT EXISTS (SELECT 1 FROM shipments WHERE (xact_id, id) > {_SLOWEST}"
            f" AND {low} < :end AND {high} >= :start)"
        ),
        {"start": start, "end": end},
    )
    return not unread.scalar_one()


async def holds_others(
    connection: AsyncConnection, day: date, applications: Collection[int]
) -> bool:
    """Whether a day of predictions holds rows of any other application."""
    found = await connection.execute(
        text(
            f"SELECT EXISTS (SELECT 1 FROM predictions_{day:%Y%m%d}"
            " WHERE application_id <> ALL(:applications))"
        ),
        {"applications": list(applications)},
    )
    return bool(found.scalar_one())


async def drop_day(connection: AsyncConnection, table: str, day: date) -> None:
    """Drop a day that was locked before."""
    await connection.execute(text(f"DROP TABLE {table}_{day:%Y%m%d}"))


async def delete_rows(connection: AsyncConnection, day: date, applications: Collection[int]) -> int:
    """Delete the predictions of some applications from a day that was locked before."""
    found = await connection.execute(
        text(f"DELETE FROM predictions_{day:%Y%m%d} WHERE application_id = ANY(:applications)"),
        {"applications": list(applications)},
    )
    return found.rowcount


async def delete_shipments(
    connection: AsyncConnection, days: Mapping[str, Sequence[date]], before: datetime
) -> int:
    """Delete the shipments of which no row is left, up to where every shard has read.

    Parameters
    ----------
    before
        Only those whose rows are all older.
    """
    oldest = {
        table: min(before, bounds(found[0])[0] if found else before)
        for table, found in days.items()
    }
    # Rows of days that nobody made a partition for keep the shipments that they name.
    found = await connection.execute(
        text(
            f"DELETE FROM shipments s WHERE (xact_id, id) <= {_SLOWEST}"
            " AND coalesce(predicted_to < :predicted, true)"
            " AND coalesce(received_to < :received, true)"
            " AND NOT EXISTS (SELECT 1 FROM predictions_default p WHERE p.shipment = s.id)"
            " AND NOT EXISTS (SELECT 1 FROM feedback_default f WHERE f.shipment = s.id)"
        ),
        {"predicted": oldest["predictions"], "received": oldest["feedback"]},
    )
    return found.rowcount
