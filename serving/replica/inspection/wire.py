"""Protocol Buffers' wire format, as far as it takes to find a few fields.

References
----------
protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator

VARINT, I64, LEN, I32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are no whole message."""


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: a number, or the bytes of a longer value."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == LEN:
            size, at = _varint(data, at)
        elif kind in (I64, I32):
            size = 8 if kind == I64 else 4
        else:
            raise WireError(f"a field has the kind {kind}")
        if at + size > len(data):
            raise WireError(f"{at + size - len(data)} bytes are missing at the end")
        yield number, data[at : at + size]
        at += size


def inside(data: memoryview, *path: int) -> Iterator[memoryview]:
    """Values at a path of field numbers, each the bytes of a message or a text."""
    first, *rest = path
    for number, value in fields(data):
        if number == first and isinstance(value, memoryview):
            if rest:
                yield from inside(value, *rest)
            else:
                yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number has no end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
