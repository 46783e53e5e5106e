"""What is counted of versions that answer together: plain numbers, read when somebody scrapes."""

from serving.histogram import Histogram

AGREEMENT_BOUNDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
"""Upper bounds of the agreement histogram's buckets; there is nothing above 1."""


class MemberCounts:
    """Members of one application's ensembles, and stages of its cascades."""

    __slots__ = ("agreement", "answered", "missing")

    def __init__(self) -> None:
        self.answered: dict[str, int] = {}
        """By version: asked together with others, and took part."""
        self.missing: dict[tuple[str, int], int] = {}
        """By version and reason: asked together with others, and did not."""
        self.agreement = Histogram(AGREEMENT_BOUNDS)
        """How far the members of each combined answer agreed, in [0, 1]."""

    def count(self, version: str, outcome: int) -> None:
        """Count what one member did; outcome 0 is an answer."""
        if outcome == 0:
            self.answered[version] = self.answered.get(version, 0) + 1
        else:
            kind = (version, outcome)
            self.missing[kind] = self.missing.get(kind, 0) + 1
