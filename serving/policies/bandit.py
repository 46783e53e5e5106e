"""What policies that learn from feedback have in common."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.policies.base import ArmStatistics, Choice, Experience, Surroundings
from serving.policies.share import key_text

Floats = NDArray[np.float64]

ANYONE = ""
"""Key of requests without a value to tell them apart by."""
REMEMBERED_KEYS = 10_000
"""Keys whose probabilities are kept; those of another are computed again."""
_NONE = ArmStatistics()


def key_of(state_by: str | None, context: Mapping[str, Any] | None) -> str:
    """Under which key a request's experience is kept.

    Parameters
    ----------
    state_by
        The key of the context that tells requests apart; None for one state for all.
    """
    if state_by is None or context is None or state_by not in context:
        return ANYONE
    return key_text(context[state_by]).decode()


def with_floor(probabilities: Floats, floor: float) -> Floats:
    """Mix with the even split so that none is below the floor; shape (..., arms)."""
    arms = probabilities.shape[-1]
    mixed: Floats = (1.0 - arms * floor) * probabilities + floor
    return mixed


class Learner:
    """Arms, what is known of them, and where that is kept."""

    kind: str
    """As the route names it."""
    of_the_set = True
    """Whether what is known holds only among these very arms. Sums of estimated losses compare
    arms that were there for the same requests, so a new arm begins anew with all others."""

    def __init__(
        self,
        arms: tuple[str, ...],
        floor: float,
        state_by: str | None = None,
        loss_scale: float | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Make the policy.

        Parameters
        ----------
        floor
            Smallest probability, or weight, of an arm.
        state_by
            Key of the context by whose values separate states are kept.
        loss_scale
            For regression: absolute error that counts as a whole loss.
        """
        self.arms = arms
        self.floor = floor
        self.state_by = state_by
        self.loss_scale = loss_scale
        self.context_keys = () if state_by is None else (state_by,)
        among = f":{','.join(sorted(arms))}" if self.of_the_set else ""
        self.state_name = f"{self.kind}{'' if state_by is None else f'|{state_by}'}{among}"
        """Under which experience is kept: a route that comes back finds it again."""
        self._experience = (surroundings or Surroundings()).experience
        self._prepared: dict[str, tuple[Experience, Any]] = {}

    def bound(self, surroundings: Surroundings) -> "Learner":
        """Give it what feedback said."""
        return type(self)(self.arms, self.floor, self.state_by, self.loss_scale, surroundings)

    def versions(self) -> tuple[str, ...]:
        """The arms."""
        return self.arms

    def distribution(self, experience: Experience) -> Floats:
        """Probabilities, or weights, of the arms in their order; each at least the floor."""
        known = [experience.arms.get(arm, _NONE) for arm in self.arms]
        return with_floor(self.preference(known), self.floor)

    def preference(self, known: Sequence[ArmStatistics]) -> Floats:
        """The same before the floor."""
        raise NotImplementedError

    def prepare(self, distribution: Floats) -> Any:
        """What `choose` needs of a distribution."""
        raise NotImplementedError

    def _prepared_for(self, context: Mapping[str, Any] | None) -> Any:
        key = key_of(self.state_by, context)
        experience = self._experience(self.state_name, key)
        prepared = self._prepared.get(key)
        if prepared is None or prepared[0] is not experience:
            if len(self._prepared) >= REMEMBERED_KEYS:
                self._prepared.clear()
            prepared = self._prepared[key] = (
                experience,
                self.prepare(self.distribution(experience)),
            )
        return prepared[1]


class Bandit(Learner):
    """A learner of which one arm answers, chosen by chance.

    Every choice's propensity is the probability by which it was made: it is computed first, and
    the choice is drawn from it.
    """

    def prepare(self, distribution: Floats) -> tuple[list[float], list[Choice]]:
        """Where each arm's part of [0, 1) ends, and the arms' choices."""
        ends = np.cumsum(distribution)
        # The last end is beyond any uniform number, whatever was lost in adding up.
        ends[-1] = np.inf
        choices = [
            Choice(arm, min(1.0, float(p)))
            for arm, p in zip(self.arms, distribution.tolist(), strict=True)
        ]
        return ends.tolist(), choices

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Draw an arm."""
        ends, choices = self._prepared_for(context)
        choice: Choice = choices[bisect_right(ends, uniform)]
        return choice
