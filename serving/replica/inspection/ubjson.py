"""Universal Binary JSON, as XGBoost writes it.

Names and numbers are read, arrays of one type passed over: of a large model only its frame is
touched.

References
----------
https://ubjson.org, draft 12.
"""

import struct
from typing import Any

_SIZES = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8}
_FORMATS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
DEEPEST = 100
"""Objects and arrays in each other at most."""


class UbjsonError(ValueError):
    """What is not whole, or of another form."""


class Reader:
    """Reads one value.

    Parameters
    ----------
    data
        Of the whole file; may be mapped.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int = 0) -> Any:
        """The next value; none in place of an array of numbers of one type."""
        return self._of(self._take(1), depth)

    def _of(self, kind: bytes, depth: int) -> Any:
        if depth > DEEPEST:
            raise UbjsonError(f"more than {DEEPEST} values in each other")
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _FORMATS:
            return struct.unpack(_FORMATS[kind], self._take(_SIZES[kind]))[0]
        if kind == b"S":
            return self._text()
        if kind == b"{":
            return self._object(depth)
        if kind == b"[":
            return self._array(depth)
        raise UbjsonError(f"expected a value at byte {self._at - 1}, found {kind!r}")

    def _object(self, depth: int) -> dict[str, Any]:
        found = {}
        while self._peek() != b"}":
            name = self._text()
            found[name] = self.value(depth + 1)
        self._at += 1
        return found

    def _array(self, depth: int) -> list[Any] | None:
        if self._peek() == b"$":
            self._at += 1
            kind = self._take(1)
            if self._take(1) != b"#" or kind not in _SIZES:
                raise UbjsonError(f"expected an array's type and length at byte {self._at - 1}")
            self._take(self._length() * _SIZES[kind], copy=False)
            return None
        if self._peek() == b"#":
            self._at += 1
            return [self.value(depth + 1) for _ in range(self._length())]
        found = []
        while self._peek() != b"]":
            found.append(self.value(depth + 1))
        self._at += 1
        return found

    def _text(self) -> str:
        return self._take(self._length()).decode(errors="replace")

    def _length(self) -> int:
        length = self._of(self._take(1), 0)
        if not isinstance(length, int) or length < 0:
            raise UbjsonError(f"expected a length before byte {self._at}, found {length!r}")
        return length

    def _peek(self) -> bytes:
        if self._at >= len(self._data):
            raise UbjsonError(f"it ends at byte {self._at}, inside a value")
        return bytes(self._data[self._at : self._at + 1])

    def _take(self, count: int, *, copy: bool = True) -> bytes:
        begun, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise UbjsonError(f"it ends at byte {len(self._data)}, inside a value")
        return bytes(self._data[begun : self._at]) if copy else b""
