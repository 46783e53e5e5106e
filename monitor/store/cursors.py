"""How far the record has been read."""

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import START, Position
from monitor.schema import CursorRow


async def lock_cursor(connection: AsyncConnection, shard: str) -> Position:
    """Read the cursor and keep every other monitor of the shard out until the transaction ends."""
    await connection.execute(
        insert(CursorRow)
        .values(shard=shard, xact_id=START.xact_id, shipment_id=START.shipment)
        .on_conflict_do_nothing()
    )
    row = (
        await connection.execute(
            select(CursorRow.xact_id, CursorRow.shipment_id)
            .where(CursorRow.shard == shard)
            .with_for_update()
        )
    ).one()
    return Position(row.xact_id, row.shipment_id)


async def move_cursor(connection: AsyncConnection, shard: str, to: Position) -> None:
    """Save that everything up to a position has been consumed."""
    await connection.execute(
        update(CursorRow)
        .where(CursorRow.shard == shard)
        .values(xact_id=to.xact_id, shipment_id=to.shipment)
    )
