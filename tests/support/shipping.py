"""Shipping that runs for the length of a block, and what arrived by it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from serving.copy_format import (
    FEEDBACK_COLUMNS,
    PREDICTION_COLUMNS,
    FeedbackRecord,
    PredictionRecord,
    decode_feedback,
    decode_predictions,
)
from serving.journal import Journal
from serving.shipping import Shipping


@asynccontextmanager
async def shipping(journal: Journal, url: str) -> AsyncIterator[Shipping]:
    """Ship while the block runs."""
    ship = Shipping(journal, url)
    task = asyncio.create_task(ship.run())
    try:
        yield ship
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def _copied(url: str, table: str, columns: tuple[str, ...]) -> bytes:
    connection = await asyncpg.connect(url)
    chunks: list[bytes] = []

    async def take(chunk: bytes) -> None:
        chunks.append(chunk)

    try:
        await connection.copy_from_query(
            f"SELECT {', '.join(columns)} FROM {table} ORDER BY shipment, {columns[0]}, id",
            output=take,
            format="binary",
        )
    finally:
        await connection.close()
    # 19 bytes of header before, 2 of trailer behind.
    return b"".join(chunks)[19:-2]


async def predictions_in(url: str) -> list[PredictionRecord]:
    """Every row of `predictions`."""
    return list(decode_predictions(await _copied(url, "predictions", PREDICTION_COLUMNS)))


async def feedback_in(url: str) -> list[FeedbackRecord]:
    """Every row of `feedback`."""
    return list(decode_feedback(await _copied(url, "feedback", FEEDBACK_COLUMNS)))
