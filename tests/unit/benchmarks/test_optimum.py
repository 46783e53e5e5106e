"""The exact optimum against published tables and closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray
from optimum import ErrorCusum, of_errors, of_mean, of_variance, precise_run_length
from scipy import stats


def one_sided(shift: float, threshold: float) -> float:
    """Run length of the standardised one-sided CUSUM with k = .5."""

    def increment(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(stats.norm.cdf(x + 0.5 - shift))

    return precise_run_length(increment, threshold)


@pytest.mark.parametrize(
    ("threshold", "shift", "rows"),
    [
        (3.0, 0.0, 117.6),
        (4.0, 0.0, 335.37),
        (5.0, 0.0, 930.89),
        (3.0, 1.0, 6.404),
        (4.0, 1.0, 8.383),
        (5.0, 1.0, 10.376),
    ],
)
def test_run_lengths_of_the_textbook_cusum(threshold: float, shift: float, rows: float) -> None:
    assert one_sided(shift, threshold) == pytest.approx(rows, rel=5e-4)


@pytest.mark.parametrize(
    ("threshold", "printed"),
    [
        (4.0, {0.0: 168, 0.25: 74.2, 0.5: 26.6, 1.0: 8.38, 1.5: 4.75, 2.0: 3.34, 3.0: 2.19}),
        (5.0, {0.0: 465, 0.25: 139, 0.5: 38.0, 1.0: 10.4, 1.5: 5.75, 2.0: 4.01, 3.0: 2.57}),
    ],
)
def test_two_sided_run_lengths_as_printed(threshold: float, printed: dict[float, float]) -> None:
    # J. Lucas, J. Qual. Technol. 8(1), 1976. Both sides never alarm together: the rates add.
    for shift, rows in printed.items():
        rate = 1.0 / one_sided(shift, threshold) + 1.0 / one_sided(-shift, threshold)
        assert 1.0 / rate == pytest.approx(rows, rel=5e-3)


@pytest.mark.parametrize(
    ("shift", "threshold", "delay"), [(0.25, 31.04, 225.7), (0.5, 17.71, 67.5), (1.0, 9.66, 19.7)]
)
def test_the_optimum_for_a_normal_mean(shift: float, threshold: float, delay: float) -> None:
    best = of_mean(shift, 1e5)
    assert best.run_length == pytest.approx(1e5, rel=1e-4)
    assert best.threshold == pytest.approx(threshold, abs=0.01)
    assert best.mean_delay == pytest.approx(delay, abs=0.1)
    # D. Siegmund, Sequential Analysis, 1985: a closed form that is a percent or so off.
    barrier = best.threshold + 1.166
    assert (np.exp(-shift * barrier) + shift * barrier - 1.0) / (0.5 * shift**2) == pytest.approx(
        best.mean_delay, rel=0.02
    )


@pytest.mark.parametrize(("run_length", "delay"), [(1e5, 153.7), (2e6, 217.1)])
def test_the_optimum_for_a_variance(run_length: float, delay: float) -> None:
    assert of_variance(1.5, run_length).mean_delay == pytest.approx(delay, rel=2e-3)


@pytest.mark.parametrize(
    ("before", "after", "delay", "median"),
    [(0.1, 0.15, 491.0, 429.0), (0.1, 0.2, 163.0, 144.0), (0.1, 0.3, 54.7, 48.0)],
)
def test_the_optimum_for_errors(before: float, after: float, delay: float, median: float) -> None:
    best = of_errors(before, after, 1e5)
    assert best.run_length >= 1e5
    assert best.mean_delay == pytest.approx(delay, rel=0.01)
    assert best.median_delay == pytest.approx(median, abs=0.03 * median)


def test_the_chain_of_errors_agrees_with_a_loop_over_rows() -> None:
    cusum, threshold, rate = ErrorCusum.between(0.1, 0.3), 3_000, 0.2
    rng = np.random.default_rng(20261103)
    level, delays = np.zeros(4_000, dtype=np.int64), np.zeros(4_000)
    row = 0
    while (delays == 0.0).any():
        row += 1
        level += np.where(rng.random(len(level)) < rate, cusum.up, -cusum.down)
        level = np.maximum(level, 0)
        delays[(level >= threshold) & (delays == 0.0)] = row
    error = delays.std() / np.sqrt(len(delays))
    # One run in a million lies this far off.
    assert abs(delays.mean() - cusum.run_length(threshold, rate)) <= 4.9 * error
    assert abs(np.median(delays) - cusum.median(threshold, rate)) <= 6.5 * error
