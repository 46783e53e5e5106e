"""Change the number of shards, while no monitor runs."""

import logging

from sqlalchemy import delete, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.errors import ShardsInUseError
from monitor.loop import turn_once
from monitor.records import START
from monitor.schema import CursorRow, LeaseRow
from monitor.settings import Settings
from monitor.shards import Shard, shard_names
from monitor.store import cursors, leases
from monitor.wall_clock import Clock, utc_now

log = logging.getLogger("monitor.resharding")


async def reshard(
    engine: AsyncEngine, settings: Settings, count: int, clock: Clock = utc_now
) -> int:
    """Bring every shard to the furthest one's place, then spread the applications anew.

    An application's states are its own and move with it; only the place in the record must be one.
    Killed half way it has read further in the old shards, and nothing else.

    Returns
    -------
    int
        How many turns it took.

    Raises
    ------
    ShardsInUseError
        If a monitor runs. One that starts meanwhile waits.
    """
    turns = 0
    async with engine.connect() as guard:
        await guard.execute(text(f"SELECT pg_advisory_lock({leases.LEASE_LOCK})"))
        try:
            living = await leases.count_living(guard, settings.lease_ttl)
            if living:
                raise ShardsInUseError(living)
            # Whatever still holds a token of before, and wakes up, is refused from here on.
            await guard.execute(text("UPDATE monitor_leases SET token = token + 1, holder = NULL"))
            await guard.commit()
            places = await cursors.read_cursors(guard)
            furthest = max(places.values(), default=START)
            await guard.commit()
            for name in places:
                shard = Shard(name, until=furthest)
                while await turn_once(engine, settings, clock, shard) is not None:
                    turns += 1
            async with engine.begin() as connection:
                await connection.execute(delete(LeaseRow))
                await connection.execute(delete(CursorRow))
                names = shard_names(count)
                await connection.execute(insert(LeaseRow), [{"shard": name} for name in names])
                place = {"xact_id": furthest.xact_id, "shipment_id": furthest.shipment}
                await connection.execute(
                    insert(CursorRow), [{"shard": name, **place} for name in names]
                )
            log.info("shards_changed from=%d to=%d turns=%d", len(places), count, turns)
        finally:
            await guard.invalidate()
    return turns
