"""Tensors of the Open Inference Protocol: from the wire to arrays, and back.

References
----------
Open Inference Protocol 2, REST, with the binary tensor data extension:
https://github.com/kserve/open-inference-protocol
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

NUMERIC = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatypes of fixed size, as numpy writes them."""
DATATYPES = (*NUMERIC, "BF16", "BYTES")
"""Every datatype that is taken. BF16 has no JSON form."""

_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """Data that do not hold what datatype and shape say."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"expected {expected}, received {received}")
        self.expected = expected
        self.received = received


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named array."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any]
    """Flat, in row-major order; text as `str` objects."""


def from_json(datatype: str, size: int, data: Any) -> NDArray[Any]:
    """Read data that stand in the JSON, flat or nested by the shape.

    Parameters
    ----------
    size
        Values that the shape asks for.

    Raises
    ------
    TensorError
        If there are more or fewer, or one is not of the datatype. null is taken in floating-point
        tensors alone, as a missing value.
    """
    flat = _flat(data)
    if len(flat) != size:
        raise TensorError(f"{size} values", str(len(flat)))
    if datatype == "BYTES":
        return _texts(flat)
    if datatype not in NUMERIC:
        raise TensorError(f"{datatype} as binary data: it has no JSON form", "JSON")
    dtype = np.dtype(NUMERIC[datatype])
    allowed: tuple[type, ...] = (bool,) if dtype.kind == "b" else (int,)
    if dtype.kind == "f":
        allowed = (int, float)
        flat = [float("nan") if value is None else value for value in flat]
    for place, value in enumerate(flat):
        if not isinstance(value, allowed) or (dtype.kind != "b" and isinstance(value, bool)):
            raise TensorError(f"values of {datatype}", f"{value!r} at place {place}")
    try:
        return np.array(flat, dtype)
    except OverflowError as error:
        raise TensorError(f"values that {datatype} can hold", str(error)) from error


def from_binary(datatype: str, size: int, data: memoryview) -> NDArray[Any]:
    """Read data that follow the JSON, little-endian; text as length and bytes.

    Raises
    ------
    TensorError
        If their length does not fit datatype and shape, or text is not UTF-8.
    """
    if datatype == "BYTES":
        return _texts(_prefixed(data, size))
    width = 2 if datatype == "BF16" else np.dtype(NUMERIC[datatype]).itemsize
    if len(data) != width * size:
        raise TensorError(f"{width * size} bytes", str(len(data)))
    if datatype == "BF16":
        # The upper half of a float32.
        halves = np.frombuffer(data, "<u2").astype("<u4")
        floats: NDArray[Any] = (halves << 16).view("<f4")
        return floats
    if datatype == "BOOL":
        return np.frombuffer(data, np.uint8).astype(np.bool_)
    return np.frombuffer(data, NUMERIC[datatype])


def to_binary(datatype: str, values: NDArray[Any]) -> bytes:
    """Write an array as it follows the JSON of an answer."""
    if datatype != "BYTES":
        return values.astype(NUMERIC[datatype]).tobytes()
    texts = [text.encode() for text in values.ravel().tolist()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def to_json(values: NDArray[Any]) -> list[Any]:
    """Write an array as it stands in the JSON of an answer; NaN, which JSON lacks, as null."""
    flat: list[Any] = values.ravel().tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in flat]


def datatype_of(values: Sequence[Any]) -> str:
    """The narrowest datatype that holds all values: BOOL, INT64, FP64, else BYTES."""
    if values and all(isinstance(value, bool) for value in values):
        return "BOOL"
    if not all(_is_number(value) for value in values):
        return "BYTES"
    whole = all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values)
    return "INT64" if whole and values else "FP64"


def as_datatype(wanted: str, values: Sequence[Any]) -> tuple[str, NDArray[Any]]:
    """Outputs as an array of the datatype that a model's metadata name, where it can hold them.

    A missing output (null) in a tensor of whole numbers or booleans makes it FP64, with NaN; in a
    tensor of text it is the empty text. Values that are no numbers make it text: their JSON.
    """
    numeric = all(value is None or _is_number(value) or isinstance(value, bool) for value in values)
    if wanted == "BYTES" or not numeric:
        return "BYTES", _texts(
            ["" if v is None else v if isinstance(v, str) else msgspec.json.encode(v).decode()
             for v in values]
        )  # fmt: skip
    if any(value is None for value in values):
        wanted = "FP64"
    fits = datatype_of([value for value in values if value is not None])
    chosen = wanted if wanted == "FP64" or (wanted, fits) == ("INT64", "BOOL") else fits
    numbers = [float("nan") if value is None else value for value in values]
    return chosen, np.array(numbers, NUMERIC[chosen])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TensorError("an array", f"{type(data).__name__}")
    if not any(isinstance(one, list) for one in data):
        return data
    found: list[Any] = []
    for one in data:
        found.extend(_flat(one))
    return found


def _texts(flat: Sequence[Any]) -> NDArray[Any]:
    for place, value in enumerate(flat):
        if not isinstance(value, str):
            raise TensorError("text", f"{value!r} at place {place}")
    texts = np.empty(len(flat), object)
    texts[:] = flat
    return texts


def _prefixed(data: memoryview, size: int) -> list[str]:
    texts, place = [], 0
    while place < len(data):
        if place + 4 > len(data):
            raise TensorError("four bytes of length", f"{len(data) - place}")
        (length,) = _LENGTH.unpack_from(data, place)
        place += 4
        if place + length > len(data):
            raise TensorError(f"text of {length} bytes", f"{len(data) - place}")
        try:
            texts.append(str(data[place : place + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise TensorError("text in UTF-8", str(error)) from error
        place += length
    if len(texts) != size:
        raise TensorError(f"{size} values", str(len(texts)))
    return texts
