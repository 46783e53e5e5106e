"""How far the record has been read."""

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import START, Position
from monitor.schema import CursorRow
from monitor.shards import Shard
from monitor.store import leases


async def lock_cursor(connection: AsyncConnection, shard: Shard) -> Position:
    """Read the cursor and keep every other monitor of the shard out until the transaction ends.

    Raises
    ------
    LeaseLostError
        If the shard was taken by another process.
    """
    await leases.begin_turn(connection, shard)
    mine = {"shard": shard.name}
    row = (await connection.execute(_LOCK, mine)).one_or_none()
    if row is None:
        start = {"xact_id": START.xact_id, "shipment_id": START.shipment}
        first = insert(CursorRow).values(shard=shard.name, **start).on_conflict_do_nothing()
        await connection.execute(first)
        row = (await connection.execute(_LOCK, mine)).one()
    return Position(row.xact_id, row.shipment_id)


_LOCK = (
    select(CursorRow.xact_id, CursorRow.shipment_id)
    .where(CursorRow.shard == bindparam("shard"))
    .with_for_update()
)


async def move_cursor(connection: AsyncConnection, shard: Shard, to: Position) -> None:
    """Save that everything up to a position has been consumed.

    Raises
    ------
    LeaseLostError
        If the shard was taken meanwhile: what the turn concluded must be undone.
    """
    await connection.execute(
        update(CursorRow)
        .where(CursorRow.shard == shard.name)
        .values(xact_id=to.xact_id, shipment_id=to.shipment, updated_at=func.now())
    )
    await leases.check_token(connection, shard)


async def read_cursors(connection: AsyncConnection) -> dict[str, Position]:
    """Every shard's place."""
    found = await connection.execute(
        select(CursorRow.shard, CursorRow.xact_id, CursorRow.shipment_id)
    )
    return {row.shard: Position(row.xact_id, row.shipment_id) for row in found}
