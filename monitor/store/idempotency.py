"""Serving's table `idempotency`, for changes that the monitor makes: one key stands for one change,
whichever part it was sent to."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import IdempotencyKeyReusedError
from serving.schema import IdempotencyRow


async def find(
    connection: AsyncConnection, key_id: UUID, idempotency_key: str, request_hash: bytes
) -> tuple[int, dict[str, Any]] | None:
    """Status and body of the answer given before; nobody else may give one until we commit.

    Raises
    ------
    IdempotencyKeyReusedError
        If the request was another one.
    """
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"idempotency {key_id} {idempotency_key}"},
    )
    rows = await connection.execute(
        select(IdempotencyRow.request_hash, IdempotencyRow.status, IdempotencyRow.body).where(
            IdempotencyRow.key_id == key_id, IdempotencyRow.idempotency_key == idempotency_key
        )
    )
    row = rows.one_or_none()
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise IdempotencyKeyReusedError(idempotency_key)
    return row.status, row.body


async def keep(
    connection: AsyncConnection,
    key_id: UUID,
    idempotency_key: str,
    *,
    request_hash: bytes,
    status: int,
    body: dict[str, Any],
) -> None:
    """Keep the answer, in the transaction of the change itself."""
    await connection.execute(
        insert(IdempotencyRow).values(
            key_id=key_id,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            status=status,
            body=body,
        )
    )
