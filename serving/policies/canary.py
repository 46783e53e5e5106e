"""A challenger answers a share of the requests."""

from collections.abc import Mapping
from typing import Any

from serving.policies.base import Choice, Surroundings
from serving.policies.share import Share


class Canary:
    """A challenger with a share of the traffic.

    References
    ----------
    As for `serving.policies.share.Share`.
    """

    def __init__(
        self, champion: str, challenger: str, share: Share, surroundings: Surroundings | None = None
    ) -> None:
        """Make the policy; the share goes to the challenger."""
        self._versions = (champion, challenger)
        self._share = share
        self._age = (surroundings or Surroundings()).age
        self._choices = [
            (
                Choice(champion, 1.0 - part if part < 1.0 else 1.0),
                Choice(challenger, part if part > 0.0 else 1.0),
            )
            for part in share.shares
        ]

    def bound(self, surroundings: Surroundings) -> "Canary":
        """Give it a clock."""
        return Canary(*self._versions, self._share, surroundings)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the challenger with the probability that holds now."""
        share = self._share
        now = 0 if len(self._choices) == 1 else share.place_in_time(self._age())
        if share.sticky_by is not None:
            uniform = share.place_of(context, uniform)
        return self._choices[now][uniform < share.shares[now]]

    def versions(self) -> tuple[str, ...]:
        """The champion and the challenger."""
        return self._versions
