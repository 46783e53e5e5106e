"""Frames between the front and a replica: a fixed header and raw blocks.

Every frame is a header of `HEADER.size` bytes and a payload. Numbers are little-endian.

========  =========  ====================================================================
kind      direction  payload
========  =========  ====================================================================
hello     to front   JSON text: what the loaded model is (`Hello`)
hello     to model   empty: this is a front, not a health check
predict   to model   rows: `rows x columns` float64, or the JSON text of an array of rows
answer    to front   outputs, then scores (`rows x columns` float64), then row errors
failure   to front   UTF-8 text: why no row of the batch could be answered
========  =========  ====================================================================

Row errors are the JSON text of `[[row, message], ...]`, absent where every row was answered. The
outputs of a failed row are filled with zeros or null and mean nothing.

Python's own structures cost least here: over a Unix socket one row makes the round trip in
about 17 microseconds of which the model sees none.
"""

import select
import socket
import struct
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct("<IBBHIIIQQ")
"""Payload bytes, kind, encoding, reserved, rows, columns, output bytes, sequence, nanoseconds."""

MAX_PAYLOAD = 1 << 30
"""Longest payload in bytes: a length beyond it means that the other side speaks something else."""


READ_AT_ONCE = 1 << 16
"""Bytes asked of a connection at once: a batch of 400 rows of twenty numbers."""


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    PREDICT = 2
    ANSWER = 3
    FAILURE = 4


class Encoding(IntEnum):
    """How the rows of a `predict` or the outputs of an `answer` are written."""

    FLOATS = 0
    """float64, row after row."""
    JSON = 1
    """The JSON text of an array with one element a row."""
    CLASSES = 2
    """uint32, one a row: place in the classes that the hello named. Outputs only."""


class ProtocolError(Exception):
    """The other side sent something that is no frame of this protocol."""


class Frame(NamedTuple):
    """One frame. Fields that its kind does not use are zero.

    A tuple, since two are made for each batch on either side and a frozen dataclass costs thrice
    as much.
    """

    kind: int
    payload: bytes | memoryview
    encoding: int = Encoding.FLOATS
    rows: int = 0
    columns: int = 0
    outputs: int = 0
    """Bytes of the payload that hold outputs; scores follow."""
    sequence: int = 0
    """Number of the batch, drawn by the front; an answer repeats it."""
    nanoseconds: int = 0
    """Time that the model itself took, by the replica's clock."""

    def head(self) -> bytes:
        """Write the header."""
        return HEADER.pack(
            len(self.payload), self.kind, self.encoding, 0, self.rows, self.columns,
            self.outputs, self.sequence, self.nanoseconds,
        )  # fmt: skip


class Head(NamedTuple):
    """A header; its fields are the frame's."""

    length: int
    """Bytes of payload that follow."""
    kind: int
    encoding: int
    reserved: int
    rows: int
    columns: int
    outputs: int
    sequence: int
    nanoseconds: int

    def frame(self, payload: bytes | memoryview) -> Frame:
        """The whole frame."""
        return Frame(
            self.kind, payload, self.encoding, self.rows, self.columns, self.outputs,
            self.sequence, self.nanoseconds,
        )  # fmt: skip


def parse_head(data: bytes | bytearray | memoryview) -> Head:
    """Read a header.

    Raises
    ------
    ProtocolError
        If the length or the kind cannot be.
    """
    head = Head(*HEADER.unpack_from(data))
    if (
        head.length > MAX_PAYLOAD
        or not Kind.HELLO <= head.kind <= Kind.FAILURE
        or head.outputs > head.length
    ):
        raise ProtocolError(
            f"expected a frame, got a header of kind {head.kind} with {head.length} bytes to "
            f"follow, {head.outputs} of them outputs"
        )
    return head


def send(connection: socket.socket, frame: Frame) -> None:
    """Write a frame; blocks until the kernel has it."""
    # One buffer, one system call: a second one would cost more than the copy.
    connection.sendall(frame.head() + bytes(frame.payload))


def receive(connection: socket.socket) -> Frame | None:
    """Read the next frame; blocks. None when the other side has gone."""
    head = _read(connection, bytearray(HEADER.size), 0)
    if head is None:
        return None
    parsed = parse_head(head)
    payload = _read(connection, bytearray(parsed.length), 0)
    return None if payload is None else parsed.frame(memoryview(payload))


class Frames:
    """Reads frame after frame: one that came whole costs a single read, as nearly all do.

    Parameters
    ----------
    connection
        Nobody else reads from it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        """What came behind the last frame."""
        # Waits by itself: a process that waits in a read is also woken when the other side takes
        # what was sent to it, for nothing, at each batch.
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)

    def next(self) -> Frame | None:
        """Read the next frame; blocks. None when the other side has gone."""
        data = self._rest
        while len(data) < HEADER.size:
            self._readable.poll()
            read = self._connection.recv(READ_AT_ONCE)
            if not read:
                return None
            data += read
        head = parse_head(data)
        end = HEADER.size + head.length
        # Memory of its own: it is aligned, and a model may write to the rows that it gets.
        payload = bytearray(head.length)
        came = data[HEADER.size : end]
        payload[: len(came)] = came
        self._rest = data[end:]
        if len(came) < head.length and _read(self._connection, payload, len(came)) is None:
            return None
        return head.frame(memoryview(payload))


def _read(connection: socket.socket, buffer: bytearray, done: int) -> bytearray | None:
    """Fill a buffer from a place on; None when the other side has gone."""
    view = memoryview(buffer)
    while done < len(buffer):
        count = connection.recv_into(view[done:])
        if count == 0:
            return None
        done += count
    return buffer
