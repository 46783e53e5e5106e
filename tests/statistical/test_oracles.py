"""Printed figures of the literature, each computed a second time by the functions of this package.

=====================================  =============================================================
oracle                                 test
=====================================  =============================================================
CUSUM and EWMA tables, Siegmund        `test_run_lengths_are_those_of_the_printed_tables` and below
Shiryaev-Roberts closed form           `test_shiryaev_roberts_of_exponential_values`
exact optima of errors and features    `test_exact_optima_of_errors_and_features`
KL, e-SR by hand                       `test_means.py`, `test_engine.py` in tests/unit/drift
mixture boundaries, Bernoulli, ECDF    `test_boundaries_are_those_of_the_reference_package`
e-values                               `test_evidence_of_finished_samples` and below
e-BH, e-LOND                           `test_the_digest_rejects_what_it_should`, `..._queue...`
KS exact, DKW, PSI                     `test_two_sample.py` in tests/unit/drift
Clopper-Pearson                        `test_means.py` in tests/unit/drift
=====================================  =============================================================
"""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from drift.digest import discoveries
from drift.engine import Engine
from drift.means.stakes import divergence
from drift.reports.boundaries import (
    best_rho,
    beta_binomial_evidence,
    boundary,
    distribution_band,
    gamma_exponential_evidence,
    gamma_poisson_evidence,
    normal_evidence,
    rate_interval,
)
from drift.reports.evidence import (
    mixture_sprt,
    online_threshold,
    paired_sign_evidence,
    power_mixture,
    rate_evidence,
    two_arm_evidence,
)
from drift.reports.run_lengths import (
    cusum_run_length,
    ewma_run_length,
    exponential_run_length,
    siegmund_run_length,
    two_sided_cusum_run_length,
)

SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


@pytest.mark.parametrize(
    ("threshold", "printed"),
    [
        (4.0, (168.0, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.62, 2.19, 1.71)),
        (5.0, (465.0, 139.0, 38.0, 17.0, 10.4, 5.75, 4.01, 3.11, 2.57, 2.01)),
    ],
)
def test_run_lengths_are_those_of_the_printed_tables(
    threshold: float, printed: tuple[float, ...]
) -> None:
    found = [two_sided_cusum_run_length(threshold, shift=shift) for shift in SHIFTS]
    # Three digits are printed, rounded.
    assert found == pytest.approx(printed, rel=5e-3)


@pytest.mark.parametrize(
    ("threshold", "quiet", "shifted"),
    [(3.0, 117.6, 6.404), (4.0, 335.37, 8.383), (5.0, 930.89, 10.376)],
)
def test_one_sided_run_lengths_from_zero(threshold: float, quiet: float, shifted: float) -> None:
    assert cusum_run_length(threshold) == pytest.approx(quiet, rel=5e-4)
    assert cusum_run_length(threshold, shift=1.0) == pytest.approx(shifted, rel=5e-4)


@pytest.mark.parametrize(("threshold", "expected"), [(4.0, 338.1), (5.0, 938.2)])
def test_siegmunds_approximation(threshold: float, expected: float) -> None:
    assert siegmund_run_length(threshold) == pytest.approx(expected, abs=0.05)
    assert siegmund_run_length(threshold) == pytest.approx(cusum_run_length(threshold), rel=0.01)
    nearly = siegmund_run_length(threshold, shift=0.5 + 1e-6)
    assert siegmund_run_length(threshold, shift=0.5) == pytest.approx(nearly, rel=1e-4)


@pytest.mark.parametrize(
    ("weight", "width", "shifted"),
    [
        (0.4, 3.054, 14.3),
        (0.25, 2.998, 11.1),
        (0.2, 2.962, 10.5),
        (0.1, 2.814, 10.3),
        (0.05, 2.615, 11.4),
    ],
)
def test_ewma_run_lengths_are_those_of_the_printed_table(
    weight: float, width: float, shifted: float
) -> None:
    assert ewma_run_length(weight, width) == pytest.approx(500.0, rel=0.01)
    assert ewma_run_length(weight, width, shift=1.0) == pytest.approx(shifted, abs=0.06)


@pytest.mark.parametrize(("threshold", "expected"), [(1.0, 1.765197), (1.5, 2.384135)])
def test_shiryaev_roberts_of_exponential_values(threshold: float, expected: float) -> None:
    assert exponential_run_length(threshold) == pytest.approx(expected, abs=5e-7)
    # The engine is the same recursion: grants of 1 / threshold, alarm at 1.
    rng = np.random.default_rng(3)
    rows = 40_000
    factors = 2.0 * np.exp(-rng.exponential(size=rows))[None, :]
    engine = Engine(stakes=1, tiers=1, head_start=0.0, smallest=1e-30, largest=2.0)
    grants = np.full((rows, 1), 1.0 / threshold)
    alarms = engine.advance(rows, lambda start, stop: factors[:, start:stop], grants).alarms
    # A standard error is about .007: this fails by chance in less than one run of a million.
    assert rows / len(alarms) == pytest.approx(expected, abs=0.05)
    mean = np.mean([alarm.statistic for alarm in alarms]) * threshold
    assert mean == pytest.approx(expected, abs=0.05)


def test_exact_optima_of_errors_and_features() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        optimum = importlib.import_module("optimum")
    finally:
        sys.path.pop(0)
    assert optimum.of_errors(0.1, 0.2, 1e5).mean_delay == pytest.approx(163.0, rel=0.02)
    assert optimum.of_errors(0.1, 0.3, 1e5).mean_delay == pytest.approx(54.7, rel=0.02)
    assert optimum.of_mean(0.5, 1e5).mean_delay == pytest.approx(67.5, rel=0.01)
    assert optimum.of_mean(1.0, 1e5).mean_delay == pytest.approx(19.7, rel=0.01)
    assert optimum.of_variance(1.5, 1e5).mean_delay == pytest.approx(153.7, rel=0.01)
    # The chart that is told the shift is a CUSUM with reference shift / 2.
    for shift, threshold, delay in ((0.5, 17.71, 67.5), (1.0, 9.66, 19.7)):
        assert cusum_run_length(threshold, reference=shift / 2) == pytest.approx(1e5, rel=0.02)
        found = cusum_run_length(threshold, reference=shift / 2, shift=shift)
        assert found == pytest.approx(delay, rel=0.01)


def test_divergences_of_error_rates_to_six_digits() -> None:
    found = divergence(np.array([0.15, 0.2, 0.3]), 0.1)
    assert found == pytest.approx([0.012235, 0.044403, 0.153664], abs=5e-7)


def test_boundaries_are_those_of_the_reference_package() -> None:
    v, alpha = 100.0, 0.05
    two = best_rho(v, alpha)
    one = best_rho(v, alpha, one_sided=True)
    assert two == pytest.approx(12.60056, abs=5e-6)
    assert normal_evidence(10.0, v, two) == pytest.approx(-0.6510052, abs=5e-7)
    assert boundary(lambda s: normal_evidence(s, v, two), alpha, most=90.0) == pytest.approx(
        30.35209, abs=5e-5
    )
    found = boundary(lambda s: normal_evidence(s, v, one, one_sided=True), alpha, most=90.0)
    assert found == pytest.approx(27.66071, abs=5e-5)
    for rho, one_sided, expected in ((two, False, 31.4308), (one, True, 28.41238)):
        found = boundary(
            lambda s, rho=rho, one_sided=one_sided: beta_binomial_evidence(  # type: ignore[misc]
                s, v, low=0.2, high=0.8, rho=rho, one_sided=one_sided
            ),
            alpha,
            most=90.0,
        )
        assert found == pytest.approx(expected, abs=5e-4)
    found = boundary(lambda s: gamma_exponential_evidence(s, v, rho=one, c=2.0), alpha, most=300.0)
    assert found == pytest.approx(33.02017, abs=5e-5)
    found = boundary(lambda s: gamma_poisson_evidence(s, v, rho=one, c=2.0), alpha, most=300.0)
    assert found == pytest.approx(30.1949, abs=5e-4)


def test_a_rate_interval_is_that_of_the_reference_package() -> None:
    low, high = rate_interval(700, 1_000, alpha=0.05, n_opt=100.0)
    assert (low, high) == pytest.approx((0.651629, 0.745949), abs=5e-6)
    assert rate_interval(0, 50, alpha=0.05, n_opt=100.0)[0] == 0.0
    assert rate_interval(50, 50, alpha=0.05, n_opt=100.0)[1] == 1.0


def test_the_band_of_a_distribution_function() -> None:
    assert distribution_band(1_000, first=100, alpha=0.05) == pytest.approx(0.082845, abs=5e-7)


def test_evidence_of_finished_samples() -> None:
    assert rate_evidence(5, 10, 0.1) == pytest.approx(61.0934, abs=5e-5)
    assert rate_evidence(20, 100, 0.1) == pytest.approx(8.45525, abs=5e-6)
    assert mixture_sprt(0.3, 100, sigma=1.0, tau=1.0) == pytest.approx(8.56672, abs=5e-6)
    assert power_mixture([0.01]) == pytest.approx(4.450992, abs=5e-7)
    assert power_mixture([0.01, 0.02, 0.5]) == pytest.approx(8.185292, abs=5e-7)
    assert power_mixture([0.001] * 3) == pytest.approx(32_532.520, abs=5e-4)


def test_the_evidence_of_discordant_pairs_is_its_integral() -> None:
    found = paired_sign_evidence(8, 2)
    assert found == pytest.approx(4.002020, abs=5e-7)
    integral, _ = integrate.quad(lambda q: 2.0 * q**8 * (1.0 - q) ** 2 * 2.0**10, 0.5, 1.0)
    assert found == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("common", [0.05, 0.3, 0.9])
def test_the_mean_of_two_arm_evidence_is_exactly_one(common: float) -> None:
    rates = (0.1, 0.25)
    total = 0.0
    for first in (0, 1):
        for second in (0, 1):
            chance = stats.bernoulli.pmf(first, common) * stats.bernoulli.pmf(second, common)
            total += chance * two_arm_evidence((first, second), rates)
    assert total == pytest.approx(1.0, abs=1e-12)


def test_the_digest_rejects_what_it_should() -> None:
    chosen = discoveries(np.array([1.0, 4.0, 80.0, 12.0, 0.5, 25.0]), 0.1)
    assert chosen.tolist() == [2]


def test_a_queue_of_experiments_has_its_thresholds() -> None:
    assert online_threshold(1, 0.05) == pytest.approx(373.715, abs=5e-4)
    spent = sum(1.0 / online_threshold(test, 0.05) for test in range(1, 100_000))
    # The weights add up to 1, slowly.
    assert 0.02 < spent <= 0.05
    assert online_threshold(3, 0.05, discoveries=1) == online_threshold(3, 0.05) / 2.0
    assert math.isfinite(online_threshold(10**9, 0.05))
