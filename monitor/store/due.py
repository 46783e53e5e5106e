"""Is there anything to do? One look for all that the monitor's hands may have to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_DUE = """
    SELECT (SELECT min(next_attempt_at) FROM remedies
             WHERE state IN ('decided', 'approved')) AS remedy_at,
           EXISTS (SELECT FROM remedies
                    WHERE state = 'proposed'
                       OR (state = 'acted' AND (outcome IS NULL
                           OR (route_check ->> 'done') IS DISTINCT FROM 'true'))) AS unsettled,
           (SELECT min(next_attempt_at) FROM deliveries WHERE state = 'waiting') AS delivery_at
"""
_STANDS = text("""
    SELECT EXISTS (SELECT FROM alerts
                    WHERE state <> 'resolved'
                      AND application_id = ANY(CAST(:applications AS int[])))
        OR EXISTS (SELECT FROM remedies
                    WHERE state = 'acted' AND outcome IS NULL
                      AND application_id = ANY(CAST(:applications AS int[])))
""")


@dataclass(frozen=True, slots=True)
class Due:
    """What waits to be done."""

    remedy_at: datetime | None
    """When the next remedy is to be carried out."""
    unsettled: bool
    """Whether there is a remedy about which something is still to be found out."""
    delivery_at: datetime | None
    """When the next delivery is to be tried."""


async def read_due(connection: asyncpg.Connection) -> Due:
    """Look, in one statement and no transaction: it is asked twice a second for ever."""
    row = await connection.fetchrow(_DUE)
    assert row is not None
    return Due(row["remedy_at"], row["unsettled"], row["delivery_at"])


async def anything_stands(connection: AsyncConnection, applications: Sequence[int]) -> bool:
    """Whether applications have an open alert or a remedy whose outcome is not known.

    Most turns meet neither, and what looks after them has nothing to do.
    """
    found = await connection.execute(_STANDS, {"applications": list(applications)})
    return bool(found.scalar_one())
