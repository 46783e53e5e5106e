"""How much to bet against a mean: a few stakes that between them suit every size of harm."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STAKES = 8
"""Stakes a stream carries; 5 to 20 of them change detection delays by under 3 %."""

SMALLEST_HARM = 1.2
"""The gentlest stake is the best one against a mean this many times the limit."""

LARGEST_MEAN = 0.6
"""The boldest stake is the best one against about this mean, for limits up to 0.2."""


BOLDEST = 0.9
"""Share of its wealth that the boldest stake on averages may lose at one step."""


@lru_cache(maxsize=1024)
def mean_stakes(limit: float, *, averaged: bool = False) -> NDArray[np.float64]:
    """Stakes for ``L = 1 + stake * (x - limit)`` with x in [0, 1].

    Stake ``(q - m) / (m (1 - m))`` makes L the likelihood ratio of error rate q against m, the
    limit. The rates q are equally spaced in the logarithm of KL(q || m), the speed at which they
    are found.

    Parameters
    ----------
    limit
        Largest mean that is still accepted, in (0, 1).
    averaged
        Whether each value is a mean of several rows: it varies less, and bolder stakes are safe.

    Returns
    -------
    shape (STAKES,)
        Rising, each below ``1 / limit``, so that L is above 0 for every x. Not to be written to: a
        monitor has thousands of streams with few limits, and they share it.
    """
    least = min(SMALLEST_HARM * limit, limit + 0.2 * (1.0 - limit))
    most = max(min(max(0.5, 6.0 * limit), LARGEST_MEAN), 0.5 * (1.0 + limit))
    low, high = divergence(np.array([least, most]), limit)
    wanted = np.geomspace(low, high, STAKES)
    # KL rises in q above the limit: halve the bracket until it is as fine as a double.
    lower, upper = np.full(STAKES, limit), np.full(STAKES, most)
    for _ in range(60):
        middle = 0.5 * (lower + upper)
        below = divergence(middle, limit) < wanted
        lower, upper = np.where(below, middle, lower), np.where(below, upper, middle)
    stakes: NDArray[np.float64] = (upper - limit) / (limit * (1.0 - limit))
    if averaged:
        stakes = np.geomspace(stakes[0], BOLDEST / limit, STAKES)
    stakes.flags.writeable = False
    return stakes


def divergence(rate: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """KL(rate || limit) of two error rates, in nats an observation."""
    gain: NDArray[np.float64] = rate * np.log(rate / limit)
    return gain + (1.0 - rate) * np.log((1.0 - rate) / (1.0 - limit))
