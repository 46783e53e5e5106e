"""Mean rows to an alarm of the classical control charts, on independent normal values.

For reports that set the classical charts beside the detectors of this package: their run lengths
hold for values of a known mean and spread, and for no others.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from drift.base import checked_number

_NODES = 200
"""Points of the Gauss-Legendre rule: six digits for thresholds up to about 12."""

_FURTHEST = 1e3


def cusum_run_length(threshold: float, *, reference: float = 0.5, shift: float = 0.0) -> float:
    """Mean rows until a one-sided CUSUM that starts at 0 reaches its threshold.

    Parameters
    ----------
    threshold, reference
        h and k, in standard deviations: the statistic is max(0, S + x - k).
    shift
        Mean of the values, in standard deviations.

    References
    ----------
    D. Brook, D. Evans, Biometrika 59(3), 1972, 539-549.
    """
    checked_number("threshold", threshold, above=0.0, below=_FURTHEST)
    nodes, weights = _rule(0.0, threshold)
    drift = reference - shift
    # Solve L(u) = 1 + L(0) P(x <= k - u) + integral of L(s) density(s + k - u) at 0 and the nodes.
    points = np.concatenate([[0.0], nodes])
    matrix = np.empty((len(points), len(points)))
    matrix[:, 0] = ndtr(drift - points)
    matrix[:, 1:] = weights * _density(nodes + drift - points[:, None])
    return float(np.linalg.solve(np.eye(len(points)) - matrix, np.ones(len(points)))[0])


def two_sided_cusum_run_length(
    threshold: float, *, reference: float = 0.5, shift: float = 0.0
) -> float:
    """Mean rows until either of two CUSUMs, one for each direction, reaches the threshold."""
    up = cusum_run_length(threshold, reference=reference, shift=shift)
    down = cusum_run_length(threshold, reference=reference, shift=-shift)
    return 1.0 / (1.0 / up + 1.0 / down)


def siegmund_run_length(threshold: float, *, reference: float = 0.5, shift: float = 0.0) -> float:
    """Siegmund's approximation of `cusum_run_length`.

    References
    ----------
    D. Siegmund, *Sequential Analysis*, Springer 1985.
    """
    drift, height = shift - reference, threshold + 1.166
    if drift == 0.0:
        return height**2
    power = -2.0 * drift * height
    return (math.expm1(power) - power) / (2.0 * drift**2)


def ewma_run_length(weight: float, width: float, *, shift: float = 0.0) -> float:
    """Mean rows until an EWMA that starts at 0 leaves its limits.

    Parameters
    ----------
    weight
        Of the newest value, in (0, 1].
    width
        Of the limits, in standard deviations of the EWMA in the long run.
    shift
        Mean of the values, in standard deviations.

    References
    ----------
    J. Lucas, M. Saccucci, Technometrics 32(1), 1990, 1-12.
    """
    checked_number("weight", weight, above=0.0, below=1.0, inclusive=True)
    limit = width * math.sqrt(weight / (2.0 - weight))
    nodes, weights = _rule(-limit, limit)
    points = np.concatenate([[0.0], nodes])
    move = (nodes - (1.0 - weight) * points[:, None]) / weight - shift
    matrix = np.zeros((len(points), len(points)))
    matrix[:, 1:] = weights * _density(move) / weight
    return float(np.linalg.solve(np.eye(len(points)) - matrix, np.ones(len(points)))[0])


def exponential_run_length(threshold: float) -> float:
    """Mean rows until Shiryaev-Roberts reaches a threshold below 2, for rate 2 against rate 1.

    The likelihood ratio of an exponential value x is 2 exp(-x); from R = 0, mean over values of
    rate 1. E[R at the alarm] is the same number.
    """
    checked_number("threshold", threshold, above=0.0, below=2.0)
    return 1.0 + threshold / (2.0 - math.log1p(threshold))


def _rule(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * (high - low)
    return low + half * (nodes + 1.0), half * weights


def _density(x: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return density
