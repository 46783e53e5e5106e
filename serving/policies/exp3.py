"""Exponential weights for one arm at a time."""

from collections.abc import Sequence

import numpy as np

from serving.policies.bandit import Bandit, Floats
from serving.policies.base import ArmStatistics


def exp3(weighted_losses: Floats, count: Floats) -> Floats:
    """Probabilities of the arms, before the floor.

    Parameters
    ----------
    weighted_losses : shape (..., arms)
        Sums of loss / propensity, losses in [0, 1].
    count : shape (...)
        Labelled answers of all arms together.

    Returns
    -------
    shape (..., arms)
    """
    arms = weighted_losses.shape[-1]
    rate = np.sqrt(np.log(arms) / (arms * (count + 1.0)))
    behind = weighted_losses - weighted_losses.min(axis=-1, keepdims=True)
    weights = np.exp(-rate[..., None] * behind)
    probabilities: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


class Exp3(Bandit):
    """The adversarial bandit: no assumption on how losses come about.

    The rate falls with the number of labels, sqrt(log K / (K n)), so no horizon has to be known.
    The floor bounds the variance of the estimates and keeps every arm under observation.

    References
    ----------
    P. Auer, N. Cesa-Bianchi, Y. Freund, R. E. Schapire, The Nonstochastic Multiarmed Bandit
    Problem, SIAM Journal on Computing 32(1), 2002. S. Bubeck, N. Cesa-Bianchi, Regret Analysis of
    Stochastic and Nonstochastic Multi-armed Bandit Problems, Foundations and Trends in Machine
    Learning 5(1), 2012, section 3.1: the rate without a horizon.
    """

    kind = "exp3"

    def preference(self, known: Sequence[ArmStatistics]) -> Floats:
        """Exponential weights of the estimated losses."""
        losses = np.array([arm.weighted_loss for arm in known])
        return exp3(losses, np.array(float(sum(arm.count for arm in known))))
