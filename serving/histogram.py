"""Counts by bucket, as plain numbers: a labelled histogram of a metrics library costs more than a
microsecond a touch, a list element a tenth of that."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate


class Histogram:
    """Counts of observations by bucket.

    Parameters
    ----------
    bounds
        Upper bounds of the buckets, ascending; one more bucket has none.
    """

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        """Observations in each bucket alone, not cumulated."""
        self.total = 0.0
        """Sum of all observations, in their unit."""

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """All observations."""
        return sum(self.buckets)

    def cumulated(self) -> Iterable[int]:
        """Observations up to each bound, and all of them in the end."""
        return accumulate(self.buckets)

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together; they have the same bounds."""
        both = Histogram(self.bounds)
        both.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        both.total = self.total + other.total
        return both
