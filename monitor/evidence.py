"""What a person needs in order to believe an alarm: means with intervals, and the statistic over
time."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from monitor.records import Json

TRACE_POINTS = 200
"""A trace that grows longer is thinned by half."""

ROUNDING = 1e-12
"""Share of the sum of squares that a difference must exceed to be more than rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Count, sum and sum of squares: what a mean and its interval are made of."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Floats) -> "Sums":
        """Sums of an array."""
        return cls(len(values), float(values.sum()), float(np.square(values).sum()))

    def plus(self, other: "Sums") -> "Sums":
        """Sums of both together."""
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def minus(self, other: "Sums") -> "Sums":
        """Sums of the rest, where `other` is a part."""
        return Sums(self.n - other.n, self.total - other.total, self.squares - other.squares)

    def interval(
        self,
        *,
        rows_per_step: int = 1,
        scale: float = 1.0,
        level: float = 0.95,
        signed: bool = False,
    ) -> Json:
        """Mean with a confidence interval, for one look and independent steps.

        Wilson's interval for 0/1 steps, Student's for any others; of those none where all are the
        same, or one alone, since nothing tells how far apart they may be.

        Parameters
        ----------
        signed
            Whether steps are differences in [-1, 1]: 0 and 1 alone do not make them shares then.
            Where all are 0 the mean is no further from 0 than the share that differs may be large.
        """
        if self.n == 0:
            return {"mean": None, "low": None, "high": None, "steps": 0, "rows": 0, "method": None}
        mean = self.total / self.n
        binary = self.squares == self.total
        if signed and self.squares == 0:
            high = _wilson(self, 0.0, level)[1]
            low = None if high is None else -high
        else:
            binary = binary and not signed
            low, high = (_wilson if binary else _student)(self, mean, level)
        return {
            "mean": mean * scale,
            "low": None if low is None else low * scale,
            "high": None if high is None else high * scale,
            "steps": self.n,
            "rows": self.n * rows_per_step,
            "level": level,
            "method": "Wilson" if binary else "Student",
        }


def _wilson(sums: Sums, mean: float, level: float) -> tuple[float | None, float | None]:
    z = -float(special.ndtri((1.0 - level) / 2))
    centre = (mean + z * z / (2 * sums.n)) / (1 + z * z / sums.n)
    half = z / (1 + z * z / sums.n) * (mean * (1 - mean) / sums.n + (z / (2 * sums.n)) ** 2) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def _student(sums: Sums, mean: float, level: float) -> tuple[float | None, float | None]:
    if sums.n < 2:
        return None, None
    apart = sums.squares - sums.n * mean * mean
    if apart <= ROUNDING * sums.squares:
        return None, None
    variance = apart / (sums.n - 1)
    half = -float(special.stdtrit(sums.n - 1, (1.0 - level) / 2)) * (variance / sums.n) ** 0.5
    return mean - half, mean + half


@dataclass(frozen=True, slots=True)
class Trace:
    """The statistic and the mean over the whole life of a detector, in a bounded number of points.

    A point stands at every `stride`-th step, so it depends on the steps alone and not on how they
    were split into turns.
    """

    stride: int = 1
    packed: bytes = b""
    """The points one after another. Most steps add none, and idle applications' detectors are read
    and written with each: two hundred points as objects took longer than the test itself."""
    open_sum: float = 0.0
    open_n: int = 0
    """Values since the last point."""
    most: int = TRACE_POINTS
    """Points kept at most."""

    @property
    def points(self) -> list[tuple[int, int, float, float, int]]:
        """Step, its time in microseconds, statistic there, sum of the values since the last point,
        their number."""
        return list(_POINT.iter_unpack(self.packed))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Trace":
        """Read what `to_bytes` wrote."""
        stride, open_sum, open_n, most = _TRACE.unpack_from(data)
        return cls(stride, data[_TRACE.size :], open_sum, open_n, most)

    @classmethod
    def from_json(cls, data: Json) -> "Trace":
        """Read what an earlier release kept, as JSON has it."""
        if not data:
            return cls()
        packed = b"".join(_POINT.pack(*point) for point in data["points"])
        most = data.get("most", TRACE_POINTS)
        return cls(data["stride"], packed, data["open_sum"], data["open_n"], most)

    def to_bytes(self) -> bytes:
        """As it is kept between turns."""
        return _TRACE.pack(self.stride, self.open_sum, self.open_n, self.most) + self.packed

    def extended(
        self,
        first: int,
        at: Sequence[int] | NDArray[np.int64],
        statistic: Floats,
        values: Floats,
    ) -> "Trace":
        """Append steps, the first of which has the number `first`, counting from 1."""
        stride, packed, total, n = self.stride, self.packed, self.open_sum, self.open_n
        start = 0
        # Thinning changes the stride half way, as it would have if the steps had come one by one.
        while True:
            end = start + (-(first + start)) % stride
            if end >= len(values):
                break
            part = values[start : end + 1]
            packed += _POINT.pack(
                first + end,
                int(at[end]),
                float(statistic[end]),
                total + float(part.sum()),
                n + len(part),
            )
            total, n, start = 0.0, 0, end + 1
            if len(packed) > self.most * _POINT.size:
                stride, packed, total, n = _thinned(stride, packed)
        rest = values[start:]
        return Trace(stride, packed, total + float(rest.sum()), n + len(rest), self.most)

    def plot(self, scale: float) -> list[Json]:
        """Points for a drawing."""
        return [
            {
                "step": step,
                "at_us": at,
                "statistic": statistic,
                "mean": total / n * scale,
                "steps": n,
            }
            for step, at, statistic, total, n in self.points
        ]


_POINT = struct.Struct("<qqddq")
_TRACE = struct.Struct("<qdqq")


def _thinned(stride: int, packed: bytes) -> tuple[int, bytes, float, int]:
    stride *= 2
    kept = []
    total, n = 0.0, 0
    for step, at, statistic, part, size in _POINT.iter_unpack(packed):
        total, n = total + part, n + size
        if step % stride == 0:
            kept.append(_POINT.pack(step, at, statistic, total, n))
            total, n = 0.0, 0
    return stride, b"".join(kept), total, n
