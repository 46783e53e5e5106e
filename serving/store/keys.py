"""Table `keys`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from serving.records import Key
from serving.schema import KeyRow
from serving.store.notices import Channel, notify


def _record(row: RowMapping | Any) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        hash=row.hash,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


async def every(connection: AsyncConnection) -> list[Key]:
    """Every key that ever was, the oldest first."""
    rows = await connection.execute(select(KeyRow.__table__).order_by(KeyRow.created_at, KeyRow.id))
    return [_record(row) for row in rows]


async def create(
    connection: AsyncConnection, key_id: UUID, name: str, digest: bytes, scopes: Sequence[str]
) -> Key:
    """Keep a new key."""
    statement = insert(KeyRow).values(id=key_id, name=name, hash=digest, scopes=list(scopes))
    rows = await connection.execute(statement.returning(*KeyRow.__table__.columns))
    await notify(connection, Channel.KEYS)
    return _record(rows.one())


async def ensure(
    connection: AsyncConnection, key_id: UUID, name: str, digest: bytes, scopes: Sequence[str]
) -> None:
    """Keep a key unless one with the same secret is there, revoked or not."""
    await connection.execute(
        postgres_insert(KeyRow)
        .values(id=key_id, name=name, hash=digest, scopes=list(scopes))
        .on_conflict_do_nothing(index_elements=[KeyRow.hash])
    )


async def lock(connection: AsyncConnection) -> list[Key]:
    """Every key that is not revoked, held against changes until the transaction ends."""
    rows = await connection.execute(
        select(KeyRow.__table__)
        .where(KeyRow.revoked_at.is_(None))
        .order_by(KeyRow.id)
        .with_for_update()
    )
    return [_record(row) for row in rows]


async def revoke(connection: AsyncConnection, key_id: UUID) -> None:
    """Make a key invalid from now on; doing it again changes nothing."""
    await connection.execute(
        update(KeyRow)
        .where(KeyRow.id == key_id, KeyRow.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    await notify(connection, Channel.KEYS)
