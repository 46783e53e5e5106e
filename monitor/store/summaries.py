"""Sums of signals over a minute and over an hour, which stay when rows and finer sums are gone."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.schema import SignalPointRow, SignalSummaryRow
from monitor.store.alarms import ADD_POINTS, NEW_POINTS, Point, columns_of

MINUTE_S, HOUR_S = 60, 3600
"""Lengths of a stretch, in seconds."""


def floor(at: datetime, step_s: int) -> datetime:
    """Start of the stretch in which a moment lies."""
    seconds = int(at.timestamp()) // step_s * step_s
    return datetime.fromtimestamp(seconds, UTC)


async def draw(connection: AsyncConnection, points: Iterable[Point]) -> None:
    """Add points to what stands there, and to their minutes and hours."""
    columns = columns_of(points)
    if columns:
        await connection.execute(_DRAW, columns)


# In order of the key, so that two shards never wait for each other in a circle.
_DRAW = text(f"""
      WITH points AS MATERIALIZED ({NEW_POINTS}), drawn AS ({ADD_POINTS})
    INSERT INTO signal_summaries AS s
           (application_id, signal, step_s, subject, at, n, total, squares)
    SELECT application_id, signal, step_s, subject,
           date_bin(step_s * interval '1 second', at, timestamptz 'epoch') AS start,
           sum(n), sum(total), sum(squares)
      FROM points CROSS JOIN (VALUES ({MINUTE_S}), ({HOUR_S})) AS steps (step_s)
  GROUP BY application_id, signal, step_s, subject, start
  ORDER BY application_id, signal, step_s, subject, start
        ON CONFLICT (application_id, signal, step_s, subject, at) DO UPDATE
       SET n = s.n + excluded.n, total = s.total + excluded.total,
           squares = s.squares + excluded.squares
""")


async def read_summaries(
    connection: AsyncConnection,
    application_id: int,
    signal: str,
    *,
    step_s: int,
    start: datetime | None = None,
    end: datetime | None = None,
    subject: str | None = None,
) -> list[Point]:
    """A signal's sums over stretches of a minute or an hour in [start, end)."""
    table = SignalSummaryRow
    query = (
        select(*table.__table__.c)
        .where(
            table.application_id == application_id, table.signal == signal, table.step_s == step_s
        )
        .order_by(table.subject, table.at)
    )
    if start is not None:
        query = query.where(table.at >= floor(start, step_s))
    if end is not None:
        query = query.where(table.at < end)
    if subject is not None:
        query = query.where(table.subject == subject)
    return [
        Point(
            row.application_id, row.signal, row.subject, row.at, Sums(row.n, row.total, row.squares)
        )
        for row in await connection.execute(query)
    ]


async def read_whole(
    connection: AsyncConnection, application_id: int, signal: str, subject: str
) -> Sums:
    """Sums of a signal over all time."""
    table = SignalSummaryRow
    row = (
        await connection.execute(
            select(
                func.coalesce(func.sum(table.n), 0).label("n"),
                func.coalesce(func.sum(table.total), 0.0).label("total"),
                func.coalesce(func.sum(table.squares), 0.0).label("squares"),
            ).where(
                table.application_id == application_id,
                table.signal == signal,
                table.step_s == HOUR_S,
                table.subject == subject,
            )
        )
    ).one()
    return Sums(int(row.n), float(row.total), float(row.squares))


async def drop_fine(
    connection: AsyncConnection,
    now: datetime,
    *,
    points: timedelta | None,
    minutes: timedelta | None,
) -> int:
    """Drop points and minutes that are too old; their hours stay. How many rows went."""
    gone = 0
    if points is not None:
        found = await connection.execute(
            delete(SignalPointRow).where(SignalPointRow.at < now - points)
        )
        gone += found.rowcount
    if minutes is not None:
        found = await connection.execute(
            delete(SignalSummaryRow).where(
                SignalSummaryRow.step_s == MINUTE_S, SignalSummaryRow.at < now - minutes
            )
        )
        gone += found.rowcount
    return gone
