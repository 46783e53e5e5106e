"""Alarms, and the series behind a plot."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, any_, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.records import Alarm
from monitor.schema import AlarmRow, AlertEventRow, AlertRow, SignalPointRow
from monitor.store.arrays import listed


@dataclass(frozen=True, slots=True)
class Point:
    """Sums of a signal over one stretch of time."""

    application_id: int
    signal: str
    subject: str
    at: datetime
    sums: Sums


async def add_alarm(connection: AsyncConnection, alarm: Alarm) -> int:
    """Write an alarm; its number."""
    values = asdict(alarm) | {"tier": alarm.tier.value}
    del values["repeats"]
    return (
        await connection.execute(insert(AlarmRow).values(values).returning(AlarmRow.id))
    ).scalar_one()


async def repeat_alarm(connection: AsyncConnection, alert_id: int, alarm: Alarm) -> int | None:
    """Count an alarm with the one of its watch that it repeats in an alert.

    Returns
    -------
    int or None
        Number of the one that it repeats; none where the alert has none of that watch.
    """
    row = (
        await connection.execute(
            _REPEAT,
            {"alert": alert_id, "watch": alarm.watch_id, "at": alarm.alarmed_at},
        )
    ).one_or_none()
    return None if row is None else int(row.id)


_REPEAT = text("""
    UPDATE alarms SET repeats = repeats + 1, repeated_at = :at
     WHERE id = (SELECT max(a.id) FROM alert_events e
                   JOIN alarms a ON a.id = CAST(e.detail ->> 'alarm' AS bigint)
                  WHERE e.alert_id = :alert AND e.event IN ('opened', 'alarmed')
                    AND a.watch_id = :watch)
 RETURNING id
""")


async def read_alarms(connection: AsyncConnection, numbers: Collection[int]) -> list[Row[Any]]:
    """Some alarms with their evidence, oldest first."""
    query = (
        select(*AlarmRow.__table__.c)
        .where(AlarmRow.id == any_(listed(numbers)))
        .order_by(AlarmRow.id)
    )
    return list(await connection.execute(query))


async def read_marks(
    connection: AsyncConnection, application_id: int, *, limit: int = 500
) -> list[Row[Any]]:
    """Time, tier, subject, signal and alert of alarms, newest first, without their evidence."""
    told = (
        select(
            AlertEventRow.alert_id,
            AlertEventRow.detail["alarm"].as_string().cast(BigInteger).label("alarm"),
        )
        .join(AlertRow, AlertRow.id == AlertEventRow.alert_id)
        .where(
            AlertRow.application_id == application_id,
            AlertEventRow.event.in_(("opened", "alarmed")),
        )
        .subquery()
    )
    query = (
        select(
            AlarmRow.alarmed_at,
            AlarmRow.tier,
            AlarmRow.subject,
            AlarmRow.evidence["signal"].as_string().label("signal"),
            told.c.alert_id,
        )
        .outerjoin(told, told.c.alarm == AlarmRow.id)
        .where(AlarmRow.application_id == application_id)
        .order_by(AlarmRow.id.desc())
        .limit(limit)
    )
    return list(await connection.execute(query))


async def add_points(connection: AsyncConnection, points: Iterable[Point]) -> None:
    """Add sums to what stands there."""
    columns = columns_of(points)
    if columns:
        await connection.execute(_ADD_POINTS, columns)


def columns_of(points: Iterable[Point]) -> dict[str, list[Any]]:
    """Points in order of their keys, as `NEW_POINTS` takes them; nothing where there are none."""
    rows = sorted(
        (p.application_id, p.signal, p.subject, p.at, p.sums.n, p.sums.total, p.sums.squares)
        for p in points
    )
    return dict(zip(_POINT, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}


_POINT = ("applications", "signals", "subjects", "moments", "counts", "totals", "squares")
NEW_POINTS = """
    SELECT * FROM unnest(CAST(:applications AS int[]), CAST(:signals AS text[]),
                         CAST(:subjects AS text[]), CAST(:moments AS timestamptz[]),
                         CAST(:counts AS int[]), CAST(:totals AS float8[]),
                         CAST(:squares AS float8[]))
             AS new (application_id, signal, subject, at, n, total, squares)
"""
"""Points that are to be added."""
ADD_POINTS = """
    INSERT INTO signal_points AS p (application_id, signal, subject, at, n, total, squares)
    SELECT * FROM points
        ON CONFLICT (application_id, signal, subject, at) DO UPDATE
       SET n = p.n + excluded.n, total = p.total + excluded.total,
           squares = p.squares + excluded.squares
"""
"""Adds what is called `points` to what stands there."""
_ADD_POINTS = text(f"WITH points AS ({NEW_POINTS}) {ADD_POINTS}")


async def read_points(
    connection: AsyncConnection,
    application_id: int,
    signal: str,
    start: datetime | None,
    end: datetime | None,
) -> list[Point]:
    """A signal's points in [start, end)."""
    query = (
        select(*SignalPointRow.__table__.c)
        .where(SignalPointRow.application_id == application_id, SignalPointRow.signal == signal)
        .order_by(SignalPointRow.subject, SignalPointRow.at)
    )
    if start is not None:
        query = query.where(SignalPointRow.at >= start)
    if end is not None:
        query = query.where(SignalPointRow.at < end)
    return [
        Point(
            row.application_id, row.signal, row.subject, row.at, Sums(row.n, row.total, row.squares)
        )
        for row in await connection.execute(query)
    ]


async def read_sums(
    connection: AsyncConnection, application_id: int, signal: str, subject: str
) -> Sums:
    """Sums of a signal over all time."""
    row = (
        await connection.execute(
            select(
                func.coalesce(func.sum(SignalPointRow.n), 0).label("n"),
                func.coalesce(func.sum(SignalPointRow.total), 0.0).label("total"),
                func.coalesce(func.sum(SignalPointRow.squares), 0.0).label("squares"),
            ).where(
                SignalPointRow.application_id == application_id,
                SignalPointRow.signal == signal,
                SignalPointRow.subject == subject,
            )
        )
    ).one()
    return Sums(int(row.n), float(row.total), float(row.squares))
