"""The front's end of the socket to a replica."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from serving.launchers.base import Replica
from serving.nesting import MOST_LEVELS, is_text_too_deep
from serving.replica.probe import place as place_of
from serving.replica.protocol import HEADER, Encoding, Frame, Kind, ProtocolError, parse_head

FIRST_BUFFER = 1 << 16
"""Bytes to begin with: an answer of 512 rows with ten classes fits."""

KNOCK_PAUSE = 0.05
"""Seconds between two attempts to connect to a replica that does not listen yet."""
CONNECT_TIMEOUT = 5.0
"""Longest one attempt: a packet to an address that is not there yet gets no answer."""

TOO_DEEP = f"the model gave an output of more than {MOST_LEVELS} arrays and objects in each other"

_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_ROW_ERRORS = msgspec.json.Decoder(list[tuple[int, str]])


@dataclass(frozen=True, slots=True)
class Hello:
    """What a replica says of the model that it has loaded."""

    classes: tuple[Any, ...] | None
    """Classes in the order of the scores; none where outputs are plain values."""
    features: int | None
    """Features that a row must have, if the artefact knows."""
    python: str
    libraries: dict[str, str]
    """Versions of the packages that the artefact depends on."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """One answered batch."""

    outputs: list[bytes]
    """JSON text, one a row."""
    scores: list[bytes] | None
    """Little-endian float64, one block a row."""
    errors: dict[int, str]
    """Rows that the model could not answer; their outputs mean nothing."""
    seconds: float
    """Time that the model took, by the replica's clock."""


def parse_hello(payload: bytes) -> Hello:
    """Read the first frame of a replica.

    Raises
    ------
    ProtocolError
        If it is not the JSON text of a hello.
    """
    try:
        return msgspec.json.decode(payload, type=Hello)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"expected a hello: {error}") from error


def parse_answer(frame: Frame, rows: int, classes: list[bytes]) -> BatchAnswer:
    """Take an answer apart.

    Parameters
    ----------
    rows
        Rows that were asked for.
    classes
        JSON text of each class that the hello named.

    Raises
    ------
    ProtocolError
        If the answer does not fit what was asked: a replica that lies is replaced.
    """
    payload = bytes(frame.payload)
    width = 8 * frame.columns
    end = frame.outputs + rows * width
    if frame.rows != rows or end > len(payload):
        raise ProtocolError(f"expected an answer to {rows} rows, got one to {frame.rows}")
    try:
        outputs = _outputs(frame.encoding, payload[: frame.outputs], rows, classes)
        errors = dict(_ROW_ERRORS.decode(payload[end:])) if end < len(payload) else {}
    except (struct.error, IndexError, msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"expected {rows} outputs: {error}") from error
    if len(outputs) != rows:
        raise ProtocolError(f"expected {rows} outputs, got {len(outputs)}")
    if frame.encoding == Encoding.JSON:
        errors |= {row: TOO_DEEP for row, raw in enumerate(outputs) if is_text_too_deep(raw)}
    scores = None
    if width:
        start = frame.outputs
        scores = [payload[start + i * width : start + (i + 1) * width] for i in range(rows)]
    return BatchAnswer(outputs, scores, errors, frame.nanoseconds / 1e9)


def _outputs(encoding: int, block: bytes, rows: int, classes: list[bytes]) -> list[bytes]:
    if encoding == Encoding.CLASSES:
        return [classes[place] for place in struct.unpack(f"<{rows}I", block)]
    if encoding == Encoding.FLOATS:
        # The shortest text that reads back as the same float is JSON already.
        return [repr(value).encode() for value in struct.unpack(f"<{rows}d", block)]
    return [bytes(raw) for raw in _RAW_ROWS.decode(block)]


class ReplicaConnection(asyncio.BufferedProtocol):
    """Cuts what a replica sends into frames."""

    def __init__(self, on_frame: Callable[[Frame], None], on_end: Callable[[str], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = bytearray(FIRST_BUFFER)
        self._filled = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        # uvloop's transports share no base class with asyncio's, only the methods.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the free part of the buffer."""
        if self._filled == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on each whole frame."""
        self._filled += nbytes
        done = 0
        try:
            while (end := self._take(done)) > done:
                done = end
        except ProtocolError as error:
            self.close(str(error))
            return
        if done:
            if done < self._filled:
                self._buffer[: self._filled - done] = self._buffer[done : self._filled]
            self._filled -= done

    def _take(self, start: int) -> int:
        """Hand on the frame at `start` if it is whole; give the place where the next begins."""
        body = start + HEADER.size
        if self._filled < body:
            return start
        head = parse_head(memoryview(self._buffer)[start:body])
        end = body + head.length
        if self._filled < end:
            return start
        self._on_frame(head.frame(bytes(memoryview(self._buffer)[body:end])))
        return end

    def send(self, data: bytes) -> None:
        """Write a whole frame."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self, reason: str) -> None:
        """End the connection from this side; `on_end` hears the reason."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """The replica closed its end or died."""
        self._end("the replica ended" if exc is None else f"the replica ended: {exc}")

    def eof_received(self) -> bool:
        """A replica never half-closes."""
        return False

    def _end(self, reason: str) -> None:
        self._transport = None
        on_end, self._on_end = self._on_end, _nothing
        on_end(reason)


def _nothing(reason: str) -> None:
    """Stands for a callback that has been called."""


async def reach(
    replica: Replica, make: Callable[[], ReplicaConnection], within: float
) -> ReplicaConnection | None:
    """Connect to a replica as soon as it can be connected to.

    Returns
    -------
    ReplicaConnection
        None if it ended, or could not be connected to within so many seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while True:
        if (address := await replica.address()) is not None:
            with suppress(OSError):
                return await asyncio.wait_for(_connect(address, make), CONNECT_TIMEOUT)
        if loop.time() + KNOCK_PAUSE > until or await replica.poll() is not None:
            return None
        await asyncio.sleep(KNOCK_PAUSE)


async def _connect(address: str, make: Callable[[], ReplicaConnection]) -> ReplicaConnection:
    loop = asyncio.get_running_loop()
    if (where := place_of(address)) is not None:
        _, connection = await loop.create_connection(make, *where)
    else:
        _, connection = await loop.create_unix_connection(make, address)
    connection.send(Frame(Kind.HELLO, b"").head())
    return connection


def predict_frame(encoding: Encoding, blocks: list[bytes], sequence: int) -> bytes:
    """Write the frame that asks for a batch."""
    if encoding == Encoding.JSON:
        payload, columns = b"[" + b",".join(blocks) + b"]", 0
    else:
        payload, columns = b"".join(blocks), len(blocks[0]) // 8
    head = HEADER.pack(
        len(payload), Kind.PREDICT, encoding, 0, len(blocks), columns, 0, sequence, 0
    )
    return head + payload
