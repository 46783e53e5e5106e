"""How high may the mean be? A limit from a reference sample that allows for the sample's chance."""

import math

import numpy as np
from scipy import special

from drift.base import Values, checked_count, checked_number, checked_values
from drift.errors import InsufficientDataError, InvalidSettingError

_BOLDEST = 0.75
"""Largest stake of the betting limit; below 1 a bet cannot lose everything, whatever the mean."""


def upper_limit(
    losses: Values,
    *,
    confidence: float = 0.95,
    tolerance: float = 0.0,
    lower: float = 0.0,
    upper: float = 1.0,
) -> float:
    """Return a limit that the source's mean exceeds with probability at most 1 - confidence.

    Exact (Clopper-Pearson) for 0/1 losses; by betting for other bounded losses.

    Parameters
    ----------
    losses : shape (n,)
        Reference losses, in [lower, upper]: independent, or units made of dependent rows. Not the
        rows the model was trained on.
    confidence
        Probability, over the draw of the reference, that the limit is right, in (0, 1).
    tolerance
        Added on top, in the loss's unit: harm that is not worth an alarm.
    lower, upper
        Range of the losses.

    Returns
    -------
    float
        In the loss's unit, at most `upper`. A few rows give a valid limit that is too wide to find
        anything: three correct answers only say that at most 63 % are wrong.

    References
    ----------
    C. Clopper, E. Pearson, Biometrika 26(4), 1934, 404-413; I. Waudby-Smith, A. Ramdas, JRSS B
    86(1), 2024, 1-27.
    """
    checked_number("upper", upper, above=lower, below=math.inf)
    losses = checked_values(losses, lower=lower, upper=upper)
    scaled = (losses - lower) / (upper - lower)
    checked_number("confidence", confidence, above=0.0, below=1.0)
    checked_number("tolerance", tolerance, above=0.0, below=upper - lower, inclusive=True)
    if ((scaled == 0.0) | (scaled == 1.0)).all():
        share = from_counts(int(scaled.sum()), len(scaled), confidence=confidence)
    else:
        share = _betting_limit(scaled, 1.0 - confidence)
    return min(lower + share * (upper - lower) + tolerance, upper)


def from_counts(errors: int, n: int, *, confidence: float = 0.95, tolerance: float = 0.0) -> float:
    """Return the one-sided Clopper-Pearson limit of an error rate, plus a tolerance, at most 1.

    Parameters
    ----------
    errors, n
        Errors among n independent 0/1 losses.
    """
    checked_count("n", n, least=0)
    checked_count("errors", errors, least=0)
    if not n:
        raise InsufficientDataError("reference losses", 1, 0)
    if errors > n:
        raise InvalidSettingError("errors", f"at most n = {n}", errors)
    checked_number("confidence", confidence, above=0.0, below=1.0)
    checked_number("tolerance", tolerance, above=0.0, below=1.0, inclusive=True)
    share = 1.0 if errors == n else float(special.betaincinv(errors + 1, n - errors, confidence))
    return min(share + tolerance, 1.0)


def _betting_limit(scaled: Values, alpha: float) -> float:
    """Largest mean that a bet against it, made before each value, has not refuted at `alpha`."""
    n = len(scaled)
    before = np.arange(n)
    # Estimates from earlier values only, with half a made-up value: a bet may not see its outcome.
    means = (0.5 + np.concatenate([[0.0], np.cumsum(scaled)[:-1]])) / (before + 1.0)
    squares = np.concatenate([[0.0], np.cumsum((scaled - means) ** 2)[:-1]])
    variances = (0.25 + squares) / (before + 1.0)
    stakes = np.minimum(np.sqrt(2.0 * math.log(1.0 / alpha) / (n * variances)), _BOLDEST)
    needed = math.log(1.0 / alpha)

    def refuted(mean: float) -> bool:
        # Ville's inequality holds for the whole path, so its highest point may be taken.
        return bool(np.cumsum(np.log1p(stakes * (mean - scaled))).max() >= needed)

    low, high = float(scaled.mean()), 1.0
    if not refuted(high):
        return 1.0
    # Wealth rises with the mean that is bet against, so the refuted means lie above the limit.
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return high
