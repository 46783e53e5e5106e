"""What the record says in numbers, for Prometheus: few statements, however much there is."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

Rows = Sequence[Row[Any]]

_LAG = text("""
    SELECT c.shard, count(s.id) AS shipments,
           coalesce(sum(s.predictions + s.feedback), 0) AS rows,
           coalesce(extract(epoch FROM clock_timestamp() - min(s.shipped_at)), 0) AS seconds
      FROM monitor_cursors c
      LEFT JOIN shipments s
        ON (s.xact_id, s.id) > (CAST(CAST(c.xact_id AS text) AS xid8), c.shipment_id)
     GROUP BY 1
""")
# Neither checkpoints nor evidence are read: they are what makes these rows large.
_STATES = text("""
    SELECT w.application_id, w.name, w.tier, w.detector, s.subject, s.statistic,
           CASE WHEN w.failed_at IS NULL THEN s.status ELSE 'failed' END AS status,
           s.granted, s.alarms
      FROM watch_states s
      JOIN watches w ON w.id = s.watch_id
      JOIN applications a ON a.id = w.application_id
     WHERE w.enabled AND a.deleted_at IS NULL
""")
_ALERTS = text("""
    SELECT application_id, tier, state, count(*) AS n FROM alerts
     WHERE state <> 'resolved' GROUP BY 1, 2, 3
""")
_REMEDIES = text("""
    SELECT application_id, state, outcome, count(*) AS n FROM remedies
     WHERE state IN ('proposed', 'approved', 'decided') OR outcome IS NOT NULL GROUP BY 1, 2, 3
""")
_DELIVERIES = text("""
    SELECT d.state, count(d.id) AS n,
           coalesce(extract(epoch FROM clock_timestamp() - min(d.waiting_since)), 0) AS seconds
      FROM (VALUES ('waiting'), ('dead')) AS known (state)
      JOIN deliveries d ON d.state = known.state
     GROUP BY 1
""")
_NEWEST = text("""
    SELECT v.application_id, v.subject, k.signal, s.total / s.n AS mean
      FROM unnest(CAST(:applications AS int[]), CAST(:subjects AS text[]))
           AS v (application_id, subject)
     CROSS JOIN (VALUES ('loss'), ('label.delay')) AS k (signal)
     CROSS JOIN LATERAL (
           SELECT n, total FROM signal_summaries h
            WHERE h.application_id = v.application_id AND h.signal = k.signal
              AND h.step_s = 3600 AND h.subject = v.subject
         ORDER BY at DESC LIMIT 1) AS s
""")
_COVERED = text("""
    SELECT v.application_id, v.subject, o.n AS answered, coalesce(l.n, 0) AS labelled
      FROM unnest(CAST(:applications AS int[]), CAST(:subjects AS text[]))
           AS v (application_id, subject)
      JOIN watches w
        ON w.application_id = v.application_id AND w.name = 'label_coverage'
       AND w.clock_at IS NOT NULL
     CROSS JOIN LATERAL (
           SELECT sum(n) AS n FROM signal_points p
            WHERE p.application_id = v.application_id AND p.signal = 'output'
              AND p.subject = v.subject
              AND p.at >= w.clock_at - interval '1 hour' AND p.at < w.clock_at) AS o
     CROSS JOIN LATERAL (
           SELECT sum(n) AS n FROM signal_points p
            WHERE p.application_id = v.application_id AND p.signal = 'label.in_time'
              AND p.subject = v.subject
              AND p.at >= w.clock_at - interval '1 hour' AND p.at < w.clock_at) AS l
     WHERE o.n > 0
""")


async def read_lags(connection: AsyncConnection) -> Rows:
    """What waits to be consumed, by shard: shipments, their rows, the age of the oldest."""
    return (await connection.execute(_LAG)).all()


async def read_stands(connection: AsyncConnection) -> Rows:
    """Where each detector of an enabled watch stands."""
    return (await connection.execute(_STATES)).all()


async def read_open_alerts(connection: AsyncConnection) -> Rows:
    """Open alerts, counted by application, tier and state."""
    return (await connection.execute(_ALERTS)).all()


async def read_remedies(connection: AsyncConnection) -> Rows:
    """Remedies that wait or whose outcome is told, counted."""
    return (await connection.execute(_REMEDIES)).all()


async def read_deliveries(connection: AsyncConnection) -> Rows:
    """Deliveries that wait or are dead: how many, and since when."""
    return (await connection.execute(_DELIVERIES)).all()


async def read_newest(
    connection: AsyncConnection, subjects: Collection[tuple[int, str]]
) -> tuple[Rows, Rows]:
    """Means of the newest hour of losses and label delays; answers and labels in time."""
    given = {"applications": [a for a, _ in subjects], "subjects": [s for _, s in subjects]}
    newest = (await connection.execute(_NEWEST, given)).all()
    return newest, (await connection.execute(_COVERED, given)).all()
