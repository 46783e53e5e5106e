"""Long work of one request, in pieces between which everybody else has the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

PIECE_ROWS = 128
"""Rows that are read, asked or recorded at once: one or two milliseconds."""

T = TypeVar("T")


async def in_pieces(rows: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Give some rows after the other; of few there is one piece, at once."""
    for start in range(0, len(rows), PIECE_ROWS):
        if start:
            await asyncio.sleep(0)
        yield rows[start : start + PIECE_ROWS]
