"""What the hot path counts: plain numbers, read when somebody scrapes.

A labelled counter of a metrics library costs more than a microsecond a touch; a list element costs
a tenth of that.
"""

from bisect import bisect_left

from serving.member_counts import MemberCounts

LATENCY_BOUNDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency histogram's buckets, in seconds; one more bucket has none."""


class Histogram:
    """Counts of seconds by bucket."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS) + 1)
        """Observations in each bucket alone, not cumulated."""
        self.total = 0.0
        """Sum of all observations, in seconds."""

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.buckets[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """All observations."""
        return sum(self.buckets)


class AnswerCounts:
    """What one application's requests came to, by the version that was chosen."""

    __slots__ = ("defaults", "errors", "latency", "members", "refused", "shadows",
                 "shadows_lost")  # fmt: skip

    def __init__(self) -> None:
        self.latency: dict[str, Histogram] = {}
        """By version: every answer, default or not."""
        self.defaults: dict[tuple[str, int], int] = {}
        """By version and reason."""
        self.refused: dict[str, int] = {}
        """By version: requests or items turned away because the answer would come too late."""
        self.shadows: dict[str, int] = {}
        """By version: answers of shadows that were recorded."""
        self.shadows_lost: dict[tuple[str, int], int] = {}
        """By version and reason; 0 where the journal did not take it."""
        self.members = MemberCounts()
        """Versions that answered together."""
        self.errors = 0
        """Requests or items that no prediction was made for."""

    def histogram(self, version: str) -> Histogram:
        """The version's histogram."""
        histogram = self.latency.get(version)
        if histogram is None:
            histogram = self.latency[version] = Histogram()
        return histogram

    @property
    def requests(self) -> int:
        """Every answer."""
        return sum(histogram.count for histogram in self.latency.values())
