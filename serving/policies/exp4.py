"""Exponential weights for the voices of an ensemble."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.policies.bandit import Floats, Learner
from serving.policies.base import ArmStatistics, Choice
from serving.policies.ensemble import WeightedCombination


def exp4(losses: Floats, counts: Floats) -> Floats:
    """Weights of the experts, before the floor.

    Parameters
    ----------
    losses, counts : shape (..., experts)
        Sums of the losses, each in [0, 1], and how many answers they are of. An expert that
        missed some requests is taken to have lost in them what it lost on average.

    Returns
    -------
    shape (..., experts)
    """
    experts = losses.shape[-1]
    total = counts.max(axis=-1, keepdims=True)
    seen = np.maximum(counts, 1.0)
    rate = np.sqrt(8.0 * np.log(experts) / np.maximum(total, 1.0))
    mean = losses / seen
    # Without an answer of its own an expert has the others' mean: neither ahead nor behind.
    common = losses.sum(axis=-1, keepdims=True) / np.maximum(counts.sum(-1, keepdims=True), 1.0)
    behind = total * np.where(counts > 0, mean, common)
    weights = np.exp(-rate * (behind - behind.min(axis=-1, keepdims=True)))
    shares: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return shares


class Exp4(Learner):
    """All arms are asked, and their answers combined by learned weights.

    The experts of Exp4 are here the models' own outputs, as in Clipper. Since every expert's
    output is known, so is every expert's loss once the label comes, and no estimate by propensity
    is needed: what remains of Exp4 is the exponentially weighted forecaster.

    References
    ----------
    P. Auer, N. Cesa-Bianchi, Y. Freund, R. E. Schapire, The Nonstochastic Multiarmed Bandit
    Problem, SIAM Journal on Computing 32(1), 2002, section 7. D. Crankshaw et al., Clipper, NSDI
    2017, section 5.2. N. Cesa-Bianchi, G. Lugosi, Prediction, Learning, and Games, Cambridge
    University Press, 2006, section 2.2: the rate.
    """

    kind = "exp4"

    def preference(self, known: Sequence[ArmStatistics]) -> Floats:
        """Exponential weights of the losses."""
        losses = np.array([arm.loss for arm in known])
        return exp4(losses, np.array([float(arm.count) for arm in known]))

    def prepare(self, distribution: Floats) -> Choice:
        """The choice of all arms, with their weights."""
        combination = WeightedCombination(tuple(distribution.tolist()))
        return Choice(self.arms[0], members=self.arms, combination=combination)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose all, with the weights that their losses earned."""
        choice: Choice = self._prepared_for(context)
        return choice
