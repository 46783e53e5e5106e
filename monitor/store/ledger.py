"""What watches were granted: of detectors at work, and of those that are no more."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Account:
    """One watch's, over all its detectors."""

    watch: str
    signal: str
    detector: str
    tier: str
    granted: float
    """Expected false alarms handed to its detectors, head starts among them."""
    head_starts: float
    alarms: int
    started_at: datetime | None
    last_observed_at: datetime | None
    closed: bool
    """Of detectors that are no more."""


_OPEN = """
    SELECT w.application_id, w.tier, w.name AS watch, w.signal, w.detector,
           sum(s.granted) AS granted,
           -- A detector that never began was granted nothing.
           sum(least(s.granted, coalesce(CAST(s.parameters ->> 'head_start' AS float8), 0)))
               AS head_starts,
           CAST(sum(s.alarms) AS integer) AS alarms,
           min(s.started_at) AS started_at, max(s.last_observed_at) AS last_observed_at
      FROM watch_states s JOIN watches w ON w.id = s.watch_id
"""
_GROUP = " GROUP BY w.application_id, w.tier, w.name, w.signal, w.detector"

_CLOSE = text(f"""
    INSERT INTO closed_ledger (application_id, tier, watch, signal, detector, granted, head_starts,
                               alarms, started_at, last_observed_at)
    {_OPEN} WHERE w.id = :watch {_GROUP}
""")

_READ = text(f"""
    SELECT a.*, false AS closed
      FROM ({_OPEN} WHERE w.application_id = :application {_GROUP}) a
     UNION ALL
    SELECT application_id, tier, watch, signal, detector, sum(granted), sum(head_starts),
           CAST(sum(alarms) AS integer), min(started_at), max(last_observed_at), true
      FROM closed_ledger WHERE application_id = :application
  GROUP BY application_id, tier, watch, signal, detector
  ORDER BY watch, closed
""")


async def close(connection: AsyncConnection, watch_id: int) -> None:
    """Keep a watch's account, whose detectors are about to be dropped."""
    await connection.execute(_CLOSE, {"watch": watch_id})


async def read_accounts(connection: AsyncConnection, application_id: int) -> list[Account]:
    """Accounts of all watches that an application has or had, by name."""
    found = await connection.execute(_READ, {"application": application_id})
    return [
        Account(
            row.watch,
            row.signal,
            row.detector,
            row.tier,
            row.granted,
            row.head_starts,
            row.alarms,
            row.started_at,
            row.last_observed_at,
            row.closed,
        )
        for row in found
    ]
