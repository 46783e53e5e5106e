"""The champion answers; challengers are asked the same and only recorded."""

from collections.abc import Mapping
from typing import Any

from serving.policies.base import Choice


class Shadow:
    """Challengers see a share of the requests.

    The pairs of answers to the same request are what a paired test compares: the variation between
    requests, which an A/B split has to average out, cancels within a pair.
    """

    def __init__(self, champion: str, challengers: tuple[str, ...], share: float) -> None:
        """Make the policy; `share` in [0, 1] of the requests goes to the challengers too."""
        self._share = share
        self._with = Choice(champion, shadows=challengers)
        self._without = Choice(champion)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the champion, and the challengers with probability `share`."""
        return self._with if uniform < self._share else self._without

    def versions(self) -> tuple[str, ...]:
        """The champion and the challengers."""
        return (self._with.primary, *self._with.shadows)
