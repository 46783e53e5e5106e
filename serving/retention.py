"""Artefacts that nothing can need any more are removed from the disk."""

import asyncio
import logging
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serving.artefacts import ArtefactStore

INTERVAL = timedelta(hours=1)
"""Pause between two looks."""

log = logging.getLogger("serving.retention")

_REMOVABLE = text("""
SELECT DISTINCT v.artefact
  FROM versions v
  JOIN models m ON m.id = v.model_id
 WHERE v.deleted_at < now() - CAST(:retention AS interval)
   AND NOT EXISTS (
       -- The same bytes may be another version, which is still there.
       SELECT FROM versions w WHERE w.artefact = v.artefact AND w.deleted_at IS NULL)
   AND NOT EXISTS (
       SELECT FROM revisions r
        WHERE position('"' || m.name || ':' || v.version || '"' IN r.policy::text) > 0
          AND (r.created_at > now() - CAST(:retention AS interval)
               -- In force until the next one came, which may have been yesterday.
               OR coalesce((SELECT min(n.created_at) FROM revisions n
                             WHERE n.application_id = r.application_id
                               AND n.revision > r.revision), now())
                  > now() - CAST(:retention AS interval)))
""")


async def removable(connection: AsyncConnection, retention: timedelta) -> list[str]:
    """Artefacts of versions that were deleted, and that no revision has named for so long."""
    rows = await connection.execute(_REMOVABLE, {"retention": retention})
    return sorted(row.artefact for row in rows)


async def keep_disk_small(
    engine: AsyncEngine, artefacts: ArtefactStore, retention: timedelta
) -> None:
    """Look every hour, for ever."""
    while True:
        await asyncio.sleep(INTERVAL.total_seconds())
        async with engine.connect() as connection:
            names = await removable(connection, retention)
        for name in names:
            if await asyncio.to_thread(artefacts.remove, name):
                log.info("artefact_removed name=%s", name)
