"""The champion answers; challengers are asked the same and only recorded."""

from collections.abc import Mapping
from typing import Any

from serving.policies.base import Choice, Surroundings
from serving.policies.share import Share


class Shadow:
    """Challengers see a share of the requests; nobody waits for them.

    The pairs of answers to the same request are what a paired test compares: the variation between
    requests, which an A/B split has to average out, cancels within a pair.

    References
    ----------
    R. Kohavi, D. Tang, Y. Xu, Trustworthy Online Controlled Experiments, Cambridge University
    Press, 2020, chapter 15: shadow traffic before a ramp.
    """

    def __init__(
        self,
        champion: str,
        challengers: tuple[str, ...],
        share: Share,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Make the policy; the share of the requests goes to the challengers too."""
        self._share = share
        self._age = (surroundings or Surroundings()).age
        self._with = Choice(champion, shadows=challengers)
        self._without = Choice(champion)

    def bound(self, surroundings: Surroundings) -> "Shadow":
        """Give it a clock."""
        return Shadow(self._with.primary, self._with.shadows, self._share, surroundings)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the champion, and the challengers with the probability that holds now."""
        share = self._share
        now = 0 if len(share.shares) == 1 else share.place_in_time(self._age())
        if share.sticky_by is not None:
            uniform = share.place_of(context, uniform)
        return self._with if uniform < share.shares[now] else self._without

    def versions(self) -> tuple[str, ...]:
        """The champion and the challengers."""
        return (self._with.primary, *self._with.shadows)
