"""What the hot path counts: plain numbers, read when somebody scrapes.

A labelled counter of a metrics library costs more than a microsecond a touch; a list element costs
a tenth of that.
"""

from collections.abc import Container
from typing import Any

from serving.histogram import Histogram
from serving.member_counts import MemberCounts

LATENCY_BOUNDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency histogram's buckets, in seconds."""
CHANGE_BOUNDS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0, 30.0, 60.0)
"""The same for what a change of a route takes."""
CHANGES = ("change", "rollback")
"""Kinds of a revision. Both are told from the start: the step from nothing to the first is seen by
no rate."""


class AnswerCounts:
    """What one application's requests came to, by the version that was chosen."""

    __slots__ = ("_missed", "changes", "defaults", "errors", "last_answers", "latency", "members",
                 "refused", "shadows", "shadows_lost")  # fmt: skip

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
        self.changes = {kind: Histogram(CHANGE_BOUNDS) for kind in CHANGES}
        """By kind of route change: seconds from the request to the switch."""
        self.last_answers = {kind: Histogram(CHANGE_BOUNDS) for kind in CHANGES}
        """By kind: seconds from the request to the last answer by the route before."""
        self._missed: set[str] = set()
        """Versions that the scrape before saw kept no more."""

    def histogram(self, version: str) -> Histogram:
        """The version's histogram."""
        histogram = self.latency.get(version)
        if histogram is None:
            histogram = self.latency[version] = Histogram(LATENCY_BOUNDS)
        return histogram

    def changed(self, kind: str, seconds: float) -> None:
        """Count one change of the route."""
        self.changes[kind].observe(seconds)

    def ended(self, kind: str, seconds: float) -> None:
        """Count the last answer of a route that was replaced."""
        self.last_answers[kind].observe(seconds)

    def forget(self, kept: Container[str]) -> None:
        """Drop versions that are kept no more, at the second scrape that misses them.

        Each is told once more after its last answer, and the series of a service that lives through
        hundreds of releases stay few.
        """
        tables: tuple[dict[Any, Any], ...] = (
            self.latency, self.defaults, self.refused, self.shadows, self.shadows_lost,
            self.members.answered, self.members.missing,
        )  # fmt: skip
        known = {_version(key) for table in tables for key in table}
        gone = {version for version in known if version not in kept}
        for table in tables:
            for key in [one for one in table if _version(one) in gone & self._missed]:
                del table[key]
        self._missed = gone


def _version(key: str | tuple[str, int]) -> str:
    return key if isinstance(key, str) else key[0]
