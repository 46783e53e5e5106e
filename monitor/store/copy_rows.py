"""Rows by binary COPY, straight into arrays.

A query gives a number first, the bytes of all its texts together, then columns of a fixed width,
then the texts. So one step a row finds where the next begins, and the rest is done on columns.

References
----------
PostgreSQL documentation, COPY, "Binary Format".
"""

import struct
from collections.abc import Sequence

import numpy as np
from asyncpg import Connection
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.feed.texts import Texts

_HEADER, _TRAILER = 19, 2
_SIZE_AT = 6
"""Where the first column's value stands in a row: after the count of columns and its length."""


class Layout:
    """The form of a query's rows.

    Parameters
    ----------
    fixed
        numpy's big-endian types of the columns of a fixed width, which are never null.
    texts
        Number of text columns, never null either: an empty one stands for none.
    """

    def __init__(self, fixed: Sequence[str], texts: int) -> None:
        parts: list[tuple[str, str]] = [("columns", ">i2"), ("_", ">i4"), ("size", ">i4")]
        for number, kind in enumerate(fixed):
            parts += [(f"_{number}", ">i4"), (f"f{number}", kind)]
        self._type = np.dtype(parts)
        self._fixed = len(fixed)
        self._texts = texts

    def split(self, data: bytes) -> tuple[list[NDArray[np.generic]], list[Texts]]:
        """Take what COPY gave apart: the fixed columns and the texts."""
        head = self._type.itemsize
        starts = _starts(data, head + 4 * self._texts)
        buffer = np.frombuffer(data, np.uint8)
        start = np.array(starts, np.int64)
        rows = buffer[start[:, None] + np.arange(head)].reshape(len(start), head)
        table = np.ascontiguousarray(rows).view(self._type).reshape(len(start))
        columns = [table[f"f{number}"] for number in range(self._fixed)]
        texts = []
        place = start + head
        for _ in range(self._texts):
            length = buffer[place[:, None] + np.arange(4)].reshape(len(start), 4)
            size = np.ascontiguousarray(length).view(">i4").reshape(len(start)).astype(np.int64)
            texts.append(Texts(buffer, place + 4, size))
            place = place + 4 + size
        return columns, texts


def _starts(data: bytes, least: int) -> list[int]:
    starts = []
    read = struct.Struct("!i").unpack_from
    place, end = _HEADER, len(data) - _TRAILER
    while place < end:
        starts.append(place)
        place += least + read(data, place + _SIZE_AT)[0]
    return starts


async def copy_out(connection: AsyncConnection, query: str) -> bytes:
    """What `COPY (query) TO STDOUT (FORMAT binary)` gives, in the connection's transaction.

    Parameters
    ----------
    query
        Whole text: COPY takes no parameters.
    """
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, Connection)
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    await driver.copy_from_query(query, output=keep, format="binary")
    return b"".join(parts)
