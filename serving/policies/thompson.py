"""Each arm as often as it is likely to be the best."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import special

from serving.policies.bandit import Bandit, Floats
from serving.policies.base import ArmStatistics

NODES = 48
"""Nodes of the quadrature over one posterior."""


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1.0) / 2.0, weights / 2.0


def thompson(losses: Floats, counts: Floats) -> Floats:
    """Probability of each arm to have the smallest mean loss.

    Parameters
    ----------
    losses, counts : shape (..., arms)
        Sums of the losses, each in [0, 1], and how many answers they are of.

    Returns
    -------
    shape (..., arms)
        Under independent posteriors Beta(1 + losses, 1 + counts - losses).

    Notes
    -----
    P(arm i is best) is the mean, over the quantiles of its posterior, of the probability that all
    others lie above. Not sampled: so it is known exactly by which probability an arm is drawn, and
    all processes that read the same sums draw alike.
    """
    nodes, weights = _quadrature()
    bad = 1.0 + np.clip(losses, 0.0, counts)[..., None]
    good = 2.0 + counts[..., None] - bad
    # Shape (..., arms, nodes): where the arm's own quantiles lie.
    at = special.betaincinv(bad, good, nodes)
    arms = losses.shape[-1]
    best = np.empty_like(losses)
    for arm in range(arms):
        above = np.ones_like(at[..., arm, :])
        for other in range(arms):
            if other != arm:
                above *= special.betaincc(bad[..., other, :], good[..., other, :], at[..., arm, :])
        best[..., arm] = above @ weights
    probabilities: Floats = best / best.sum(axis=-1, keepdims=True)
    return probabilities


class Thompson(Bandit):
    """Probability matching under a Beta posterior for each arm's mean loss.

    Fast where arms stay as they are; slow to leave one that was good for long. A monitor's alarm
    on the arm, not the bandit, is what takes a degraded version out quickly.

    References
    ----------
    W. R. Thompson, On the Likelihood that One Unknown Probability Exceeds Another, Biometrika 25,
    1933. S. Agrawal, N. Goyal, Analysis of Thompson Sampling for the Multi-armed Bandit Problem,
    COLT 2012.
    """

    kind = "thompson"
    of_the_set = False

    def preference(self, known: Sequence[ArmStatistics]) -> Floats:
        """Probabilities of being the best."""
        counts = np.array([float(arm.count) for arm in known])
        return thompson(np.array([arm.loss for arm in known]), counts)
