"""E-values and thresholds in closed form, for finished samples and reports."""

import math

from scipy.special import betainc, betaln, gammainc, gammaln

from drift.base import checked_count, checked_number

_ONLINE_SUM = 0.07720838
"""Makes the weights of `online_threshold` add up to 1."""


def rate_evidence(errors: int, n: int, rate: float) -> float:
    """E-value against an error rate: the mean likelihood ratio under a uniform prior.

    Valid after every row for independent errors; the rate is refuted at 1 / alpha.
    """
    checked_count("n", n, least=0)
    checked_number("errors", errors, above=0.0, below=n, inclusive=True)
    checked_number("rate", rate, above=0.0, below=1.0)
    log = float(betaln(errors + 1, n - errors + 1))
    return math.exp(log - errors * math.log(rate) - (n - errors) * math.log1p(-rate))


def paired_sign_evidence(better: int, worse: int) -> float:
    """E-value of discordant pairs against "either wins as often", uniform on (1/2, 1)."""
    n = checked_count("better", better, least=0) + checked_count("worse", worse, least=0)
    log = float(betaln(better + 1, worse + 1)) + (n + 1) * math.log(2.0)
    return math.exp(log) * float(1.0 - betainc(better + 1, worse + 1, 0.5))


def two_arm_evidence(errors: tuple[int, int], rates: tuple[float, float]) -> float:
    """E-value of one row of each arm against "both have the same error rate, whatever it is".

    The likelihood of the two rates, over its mean with the arms exchanged: its expectation is
    exactly 1 at any common rate. Multiply it over pairs; the rates may come from earlier ones.

    Parameters
    ----------
    errors
        0 or 1 for each arm.
    rates
        The two rates that are bet on.

    References
    ----------
    R. Turner, A. Ly, P. Grünwald, "Generic e-variables for exact sequential k-sample tests",
    J. Statist. Plann. Inference 230, 2024.
    """
    first, second = (checked_number("rate", rate, above=0.0, below=1.0) for rate in rates)
    if errors[0] == errors[1]:
        return 1.0
    as_seen, exchanged = first * (1.0 - second), second * (1.0 - first)
    seen = as_seen if errors[0] else exchanged
    return 2.0 * seen / (as_seen + exchanged)


def mixture_sprt(mean: float, n: int, *, sigma: float, tau: float) -> float:
    """MSPRT of a normal mean against 0, with prior N(0, tau²) and a *known* spread sigma."""
    variance = sigma**2 + n * tau**2
    exponent = (tau * n * mean) ** 2 / (2.0 * sigma**2 * variance)
    return math.sqrt(sigma**2 / variance) * math.exp(exponent)


def power_mixture(pvalues: list[float]) -> float:
    """Mean of the power martingales of p-values, each valid given the ones before."""
    surprise, n = -sum(math.log(p) for p in pvalues), len(pvalues)
    # e**S times the lower incomplete gamma function of n + 1 at S, over S**(n + 1).
    log = surprise + float(gammaln(n + 1)) - (n + 1) * math.log(surprise)
    return math.exp(log) * float(gammainc(n + 1, surprise))


def online_threshold(test: int, alpha: float, *, discoveries: int = 0) -> float:
    """E-value that the next of a queue of finished experiments needs (e-LOND).

    Parameters
    ----------
    test
        Number of the experiment, from 1.
    alpha
        Bound on the expected share of false discoveries, under any dependence.
    discoveries
        Discoveries among the experiments before.

    References
    ----------
    Z. Xu, A. Ramdas, "Online multiple testing with e-values", AISTATS 2024.
    """
    checked_count("test", test, least=1)
    weight = _ONLINE_SUM * math.log(max(test, 2)) / (test * math.exp(math.sqrt(math.log(test))))
    return 1.0 / (checked_number("alpha", alpha, above=0.0, below=1.0) * weight * (discoveries + 1))
