"""Detector state as bytes.

Layout, little-endian: 4 bytes "LSDC", schema version (2), hash of name and settings (16), number
of arrays (2), then each array (kind of number 1, dimensions 1, each length 4, raw values), then
CRC-32 of all before it (4). A state of 8 stakes and one tier takes under 600 bytes.
"""

import hashlib
import json
import marshal
import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Settings
from drift.errors import CheckpointError

SCHEMA_VERSION = 1
"""Raised whenever the meaning or the order of a detector's arrays changes."""

_MAGIC = b"LSDC"
_HEAD = struct.Struct("<4sH16sH")
_KINDS: dict[bytes, np.dtype[np.generic]] = {
    b"f": np.dtype("<f8"),
    b"i": np.dtype("<i8"),
    b"u": np.dtype("u1"),
    b"w": np.dtype("<u4"),
}
"""Counts that fit travel in four bytes; both kinds of whole numbers are read back as int64."""

_LETTERS = {"f": b"f", "i": b"i", "u": b"u"}
_SHAPES = [struct.Struct(f"<B{dimensions}I") for dimensions in range(8)]

State = Sequence[NDArray[np.float64] | NDArray[np.int64] | NDArray[np.uint8]]


def pack(name: str, settings: Settings, state: State) -> bytes:
    """Write the arrays of one detector."""
    parts = [_HEAD.pack(_MAGIC, SCHEMA_VERSION, settings_hash(name, settings), len(state))]
    for array in state:
        kind = _LETTERS[array.dtype.kind]
        # As unsigned numbers the negative ones are the largest.
        if (
            kind == b"i"
            and array.size
            and array.astype(np.int64, copy=False).view(np.uint64).max() < 2**32
        ):
            kind = b"w"
        shape = array.shape
        parts.append(kind + _SHAPES[len(shape)].pack(len(shape), *shape))
        parts.append(array.astype(_KINDS[kind], copy=False).tobytes())
    body = b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(name: str, settings: Settings, data: bytes) -> list[NDArray[np.generic]]:
    """Read the arrays back, in the order in which they were written.

    Raises
    ------
    CheckpointError
        If the bytes are damaged, of another schema version, or of another detector or settings.
    """
    if len(data) < _HEAD.size + 4 or data[:4] != _MAGIC:
        raise CheckpointError(f"{len(data)} bytes are not the state of a detector")
    _, version, digest, count = _HEAD.unpack_from(data)
    if version != SCHEMA_VERSION:
        raise CheckpointError(f"state has schema version {version}, expected {SCHEMA_VERSION}")
    if zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise CheckpointError("state is damaged: its checksum does not fit")
    if digest != settings_hash(name, settings):
        raise CheckpointError(f"state was saved by other settings than {name} {settings}")
    arrays: list[NDArray[np.generic]] = []
    at = _HEAD.size
    for _ in range(count):
        dtype, dimensions = _KINDS[data[at : at + 1]], data[at + 1]
        _, *shape = _SHAPES[dimensions].unpack_from(data, at + 1)
        at += 2 + 4 * dimensions
        size = math.prod(shape)
        array = np.frombuffer(data, dtype, count=size, offset=at).reshape(shape)
        arrays.append(array.astype(np.int64) if dtype == np.uint32 else array.copy())
        at += size * dtype.itemsize
    return arrays


def settings_hash(name: str, settings: Settings) -> bytes:
    """Sixteen bytes that tell one detector's settings from another's."""
    # Hundreds of detectors of a turn have the same settings, and writing them as JSON takes longer
    # than all else about a small state. This form of marshal tells nothing but the values.
    known = marshal.dumps((name, settings), 2)
    found = _hashes.get(known)
    if found is None:
        text = json.dumps([name, settings], sort_keys=True, allow_nan=False)
        if len(_hashes) >= _MOST_HASHES:
            _hashes.clear()
        found = _hashes[known] = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return found


_hashes: dict[bytes, bytes] = {}
_MOST_HASHES = 4096
