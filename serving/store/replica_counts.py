"""Table `version_replicas`."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.records import ReplicaPlan
from serving.schema import ReplicasRow
from serving.store.notices import Channel, notify


async def every(connection: AsyncConnection) -> dict[int, ReplicaPlan]:
    """What was said of replicas, by version id."""
    # A row of SQLAlchemy is a tuple, whose `count` is a method of its own.
    rows = (await connection.execute(select(ReplicasRow.__table__))).mappings()
    return {
        row["version_id"]: ReplicaPlan(row["count"], row["cpu"], row["memory_mb"]) for row in rows
    }


async def get(connection: AsyncConnection, version_id: int) -> ReplicaPlan | None:
    """What was said of one version, if anything was."""
    return (await every(connection)).get(version_id)


async def put(
    connection: AsyncConnection, version_id: int, plan: ReplicaPlan, updated_by: UUID
) -> None:
    """Keep what a version is to have, and tell every process."""
    values = {
        "count": plan.count,
        "cpu": plan.cpu,
        "memory_mb": plan.memory_mb,
        "updated_by": updated_by,
        "updated_at": func.now(),
    }
    await connection.execute(
        insert(ReplicasRow)
        .values(version_id=version_id, **values)
        .on_conflict_do_update(index_elements=[ReplicasRow.version_id], set_=values)
    )
    await notify(connection, Channel.REPLICAS)
