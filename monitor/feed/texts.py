"""A column of short byte strings in one buffer: JSON texts, blocks, contexts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

WIDEST = 64
"""Texts longer than this are told apart one by one; shorter ones as whole words, all at once."""
_KEPT = 4096
"""Parsed texts that are kept: classes repeat without end, numbers do not."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Byte strings; an empty one stands for none."""

    data: NDArray[np.uint8]
    """All of them in one buffer, with anything between them."""
    start: NDArray[np.int64]
    """Shape (n,): where each begins."""
    length: NDArray[np.int64]
    """Shape (n,): bytes of each."""

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, values: Iterable[bytes | None]) -> "Texts":
        """Put strings together."""
        parts = [value or b"" for value in values]
        length = np.array([len(part) for part in parts], np.int64)
        start = np.concatenate(([0], np.cumsum(length)[:-1])) if parts else length
        return cls(np.frombuffer(b"".join(parts), np.uint8), start.astype(np.int64), length)

    @classmethod
    def joined(cls, parts: Sequence["Texts"]) -> "Texts":
        """One column after another."""
        sizes = np.cumsum([0, *(len(part.data) for part in parts)])
        return cls(
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.start + size for part, size in zip(parts, sizes, strict=False)]),
            np.concatenate([part.length for part in parts]),
        )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Texts":
        """Some of them."""
        return Texts(self.data, self.start[rows], self.length[rows])

    def at(self, row: int) -> bytes:
        """One of them."""
        start = int(self.start[row])
        return self.data[start : start + int(self.length[row])].tobytes()

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which are there."""
        return self.length > 0

    def matrix(self, width: int) -> NDArray[np.uint8]:
        """Shape (n, width): each one's first bytes, with zeros behind a shorter one."""
        if not len(self):
            return np.zeros((0, width), np.uint8)
        if width == 0:
            return np.zeros((len(self), 0), np.uint8)
        place = self.start[:, None] + np.arange(width)
        if (self.length >= width).all():
            whole: NDArray[np.uint8] = self.data[place]
            return whole
        inside = np.arange(width) < self.length[:, None]
        return np.where(inside, self.data[np.where(inside, place, 0)], np.uint8(0))

    def floats(self, columns: int) -> NDArray[np.float64]:
        """Shape (n, columns): the blocks of little-endian float64 that they are.

        All must be of 8 bytes a column.
        """
        return np.ascontiguousarray(self.matrix(8 * columns)).view("<f8").astype(np.float64)

    def distinct(self) -> tuple[list[bytes], NDArray[np.int64]]:
        """Different ones, and which of them each is; -1 where there is none."""
        code = np.full(len(self), -1, np.int64)
        rows = np.flatnonzero(self.present)
        if not len(rows):
            return [], code
        if len(rows) == 1:
            code[rows] = 0
            return [self.at(int(rows[0]))], code
        some = self.take(rows)
        longest = int(some.length.max())
        if longest > WIDEST:
            known: dict[bytes, int] = {}
            code[rows] = [known.setdefault(some.at(row), len(known)) for row in range(len(rows))]
            return list(known), code
        width = -(-longest // 8) * 8
        words = np.ascontiguousarray(some.matrix(width))
        kind = ">u8" if width == 8 else f"S{width}"
        _, first, code[rows] = np.unique(
            words.view(kind)[:, 0], return_index=True, return_inverse=True
        )
        return [some.at(row) for row in first.tolist()], code

    def numbers(self) -> NDArray[np.float64]:
        """Shape (n,): the finite number that each is as JSON; NaN where it is none."""
        found = np.full(len(self), np.nan)
        rows = np.flatnonzero(self.present)
        if not len(rows):
            return found
        some = self.take(rows)
        longest = int(some.length.max())
        if longest <= WIDEST:
            words = np.ascontiguousarray(some.matrix(longest)).view(f"S{longest}")[:, 0]
            # A number of JSON begins so; "nan" and "inf", which numpy would read, do not.
            head = some.data[some.start]
            if ((head == ord("-")) | ((head >= ord("0")) & (head <= ord("9")))).all():
                try:
                    found[rows] = words.astype(np.float64)
                except ValueError:
                    found[rows] = some.mapped(_number)
                found[~np.isfinite(found)] = np.nan
                return found
        found[rows] = some.mapped(_number)
        return found

    def mapped(self, read: Callable[[object], float]) -> NDArray[np.float64]:
        """Shape (n,): a figure of each as JSON, read once for each different text."""
        texts, code = self.distinct()
        values = np.array([*(read(parsed(text)) for text in texts), np.nan])
        return values[code]


def _number(value: object) -> float:
    if isinstance(value, bool | int | float) and abs(value) < float("inf"):
        try:
            return float(value)
        except OverflowError:
            return float("nan")
    return float("nan")


_cache: dict[bytes, object] = {}


def parsed(text: bytes) -> object:
    """A JSON text's value; None where it is no JSON."""
    value = _cache.get(text, _cache)
    if value is _cache:
        if len(_cache) > _KEPT:
            _cache.clear()
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = None
        _cache[text] = value
    return value
