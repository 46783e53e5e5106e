"""Columns of a file that stand for the encoded columns of the record, without the encoding.

What the record holds as JSON texts or blocks, a file holds as numbers and categories already. These
answer every question that the signals ask of a column, so that the same signals read both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.feed.texts import Texts
from monitor.signals.inputs import Columns, InputColumns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_NOTHING = np.zeros(0, np.uint8)


@dataclass(frozen=True, slots=True)
class CodedTexts(Texts):
    """JSON texts of which few differ: each row is the number of its text, -1 for none."""

    texts: tuple[bytes, ...] = ()

    @classmethod
    def coded(cls, code: NDArray[Any], texts: Sequence[bytes]) -> "CodedTexts":
        """A column from numbers of texts, all of which differ."""
        # The number of a text stands where the place of its first byte would.
        return cls(_NOTHING, code.astype(np.int64), (code >= 0).astype(np.int64), tuple(texts))

    def take(self, rows: Ints | NDArray[np.bool_]) -> "CodedTexts":
        """Some of them."""
        return CodedTexts(self.data, self.start[rows], self.length[rows], self.texts)

    def at(self, row: int) -> bytes:
        """One of them."""
        code = int(self.start[row])
        return self.texts[code] if code >= 0 else b""

    def distinct(self) -> tuple[list[bytes], Ints]:
        """Different ones, and which of them each is; -1 where there is none."""
        # The last place is that of rows without a text.
        used = np.flatnonzero(np.bincount(self.start + 1, minlength=len(self.texts) + 1)[1:])
        place = np.full(len(self.texts) + 1, -1, np.int64)
        place[used] = np.arange(len(used))
        return [self.texts[code] for code in used.tolist()], place[self.start]

    def numbers(self) -> Floats:
        """Shape (n,): the number that each is; NaN where it is none."""
        return self.mapped(_number)


def _number(value: object) -> float:
    return float(value) if isinstance(value, bool | int | float) else float("nan")


@dataclass(frozen=True, slots=True)
class NumberTexts(Texts):
    """JSON texts that are numbers, kept as what they say; NaN stands for none."""

    values: Floats | None = None

    @classmethod
    def of_values(cls, values: Floats) -> "NumberTexts":
        """A column from its numbers."""
        known = np.isfinite(values).astype(np.int64)
        return cls(_NOTHING, np.zeros(len(values), np.int64), known, values)

    @property
    def _all(self) -> Floats:
        assert self.values is not None
        return self.values

    def take(self, rows: Ints | NDArray[np.bool_]) -> "NumberTexts":
        """Some of them."""
        return NumberTexts(self.data, self.start[rows], self.length[rows], self._all[rows])

    def at(self, row: int) -> bytes:
        """One of them."""
        return msgspec.json.encode(float(self._all[row])) if self.length[row] else b""

    def distinct(self) -> tuple[list[bytes], Ints]:
        """Different ones, and which of them each is; -1 where there is none."""
        code = np.full(len(self), -1, np.int64)
        known = self.length > 0
        found, code[known] = np.unique(self._all[known], return_inverse=True)
        return [msgspec.json.encode(one) for one in found.tolist()], code

    def numbers(self) -> Floats:
        """Shape (n,): the finite number that each is; NaN where it is none."""
        return np.where(self.length > 0, self._all, np.nan)


@dataclass(frozen=True, slots=True)
class ScoreTexts(Texts):
    """One score a row, kept as a number; NaN stands for none."""

    values: Floats | None = None

    @classmethod
    def of_values(cls, values: Floats) -> "ScoreTexts":
        """A column from its numbers."""
        length = np.where(np.isnan(values), 0, 8).astype(np.int64)
        return cls(_NOTHING, np.zeros(len(values), np.int64), length, values)

    def take(self, rows: Ints | NDArray[np.bool_]) -> "ScoreTexts":
        """Some of them."""
        assert self.values is not None
        return ScoreTexts(self.data, self.start[rows], self.length[rows], self.values[rows])

    def floats(self, columns: int) -> Floats:
        """Shape (n, 1): the scores."""
        assert self.values is not None
        return self.values.reshape(-1, columns)


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Features of a whole file, column by column."""

    values: tuple[Floats, ...]
    """Numbers, 0 or 1 for booleans, codes of categories for strings; NaN where there is none."""
    texts: dict[int, str]
    """Categories behind the codes."""

    def of_rows(self, rows: Ints) -> InputColumns:
        """Inputs of some rows, to be read when somebody asks for them."""
        count = len(rows)
        return InputColumns(_NOTHING, rows, np.ones(count, np.int64), self._read)

    def _read(self, rows: Ints) -> Columns:
        # Each feature's values stand together: every test looks at one feature.
        values = np.empty((len(self.values), len(rows)))
        span = len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        together = bool(span) and bool((np.diff(rows) == 1).all())
        for place, column in enumerate(self.values):
            values[place] = column[rows[0] : rows[0] + len(rows)] if together else column[rows]
        return Columns(values.T, np.zeros((len(self.values), len(rows)), np.bool_).T, self.texts)
