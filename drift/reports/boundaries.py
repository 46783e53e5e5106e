"""Boundaries that hold at all times at once: for confidence sequences in reports.

S is a sum of n centred values, v their intrinsic time: the sum of their variances, or a bound of
it. With probability 1 - alpha, S stays below its boundary at all times.

References
----------
S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Ann. Statist. 49(2), 2021; S. Howard, A. Ramdas, "Sequential estimation of
quantiles", Bernoulli 28(3), 2022.
"""

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import betainc, betaln, gammainc, gammaincc, gammaln, log_ndtr

from drift.base import checked_number

Evidence = Callable[[float], float]
"""Logarithm of the mixture supermartingale at a sum S."""


def best_rho(v_opt: float, alpha: float, *, one_sided: bool = False) -> float:
    """Scale of the mixture that is tightest at intrinsic time `v_opt`."""
    twice = 2.0 * math.log(1.0 / (2.0 * alpha if one_sided else alpha))
    return v_opt / (twice + math.log1p(twice))


def normal_evidence(s: float, v: float, rho: float, *, one_sided: bool = False) -> float:
    """Normal mixture, for sub-Gaussian values."""
    log = 0.5 * math.log(rho / (v + rho)) + s * s / (2.0 * (v + rho))
    return log + math.log(2.0) + float(log_ndtr(s / math.sqrt(v + rho))) if one_sided else log


def beta_binomial_evidence(
    s: float, v: float, *, low: float, high: float, rho: float, one_sided: bool = False
) -> float:
    """Beta-binomial mixture, for values within [-low, high] around their mean."""
    scale = rho - low * high
    both = low + high
    x = high / both if one_sided else 1.0

    def log_beta(a: float, b: float) -> float:
        return float(betaln(a, b)) + math.log(float(betainc(a, b, x)))

    return (
        v / (low * high) * math.log(both)
        - (v + high * s) / (high * both) * math.log(low)
        - (v - low * s) / (low * both) * math.log(high)
        + log_beta((scale + v - low * s) / (low * both), (scale + v + high * s) / (high * both))
        - log_beta(scale / (low * both), scale / (high * both))
    )


def gamma_exponential_evidence(s: float, v: float, *, rho: float, c: float) -> float:
    """Gamma-exponential mixture, for sub-exponential values of scale c; one-sided."""
    r, top = rho / c**2, (v + rho) / c**2
    at = (c * s + v) / c**2
    leading = r * math.log(r) - float(gammaln(r)) - math.log(float(gammainc(r, r)))
    tail = float(gammaln(top)) + math.log(float(gammainc(top, at + r)))
    return leading + tail - top * math.log(at + r) + at


def gamma_poisson_evidence(s: float, v: float, *, rho: float, c: float) -> float:
    """Gamma-Poisson mixture, for sub-Poisson values of scale c; one-sided."""
    r, top = rho / c**2, (v + rho) / c**2
    at = s / c + top
    leading = r * math.log(r) - float(gammaln(r)) - math.log(float(gammaincc(r, r)))
    tail = float(gammaln(at)) + math.log(float(gammaincc(at, top)))
    return leading + tail - at * math.log(top) + v / c**2


def boundary(evidence: Evidence, alpha: float, *, most: float) -> float:
    """Sum at which the evidence reaches 1 / alpha.

    Parameters
    ----------
    most
        A sum whose evidence is above it.
    """
    checked_number("alpha", alpha, above=0.0, below=1.0)
    needed = math.log(1.0 / alpha)
    return float(brentq(lambda s: evidence(s) - needed, 0.0, most, xtol=1e-12))


def rate_interval(errors: int, n: int, *, alpha: float, n_opt: float) -> tuple[float, float]:
    """Error rates that independent errors have not refuted at any time up to now.

    Parameters
    ----------
    n_opt
        Rows at which the interval is tightest.
    """
    needed, share = math.log(1.0 / alpha), errors / n

    def excess(rate: float) -> float:
        variance = rate * (1.0 - rate)
        rho = best_rho(n_opt * variance, alpha)
        sums = errors - n * rate
        evidence = beta_binomial_evidence(sums, n * variance, low=rate, high=1.0 - rate, rho=rho)
        return evidence - needed

    least, most = 1e-9, 1.0 - 1e-9
    share = min(max(share, least), most)
    low = 0.0 if errors == 0 else float(brentq(excess, least, share, xtol=1e-12))
    high = 1.0 if errors == n else float(brentq(excess, share, most, xtol=1e-12))
    return low, high


def distribution_band(n: int, *, first: int, alpha: float) -> float:
    """Half-width of a band for a distribution function that holds at all times from `first` on."""
    logs = math.log(math.log(math.e * n / first)) + 0.8 * math.log(1612.0 / alpha)
    return 0.85 * math.sqrt(logs / n)
