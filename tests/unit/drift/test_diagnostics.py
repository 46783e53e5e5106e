"""Bursts are seen, measured and refused; independent rows are not."""

import numpy as np
import pytest

from drift.diagnostics import (
    autocorrelations,
    burst_length,
    design_effect,
    recommend_block,
    refusal,
)
from drift.errors import InsufficientDataError, InvalidObservationError


def sessions(n: int, correlation: float, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """0/1 errors at a rate of .1 in sessions of geometric length, 10 on average."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(0.1, size=n // 5)
    unit = np.repeat(np.arange(len(lengths)), lengths)[:n]
    spread = 1.0 / correlation - 1.0
    rates = rng.beta(0.1 * spread, 0.9 * spread, size=len(lengths))
    return (rng.random(n) < rates[unit]).astype(np.float64), unit.tolist()


def test_independent_rows_may_be_watched_one_by_one() -> None:
    losses = (np.random.default_rng(1).random(100_000) < 0.1).astype(np.float64)
    effect = design_effect(losses)
    assert 0.98 < effect.lower < effect.value < effect.upper < 1.05
    assert recommend_block(losses) is None
    assert refusal(losses) is None


@pytest.mark.parametrize(("correlation", "expected"), [(0.02, 1.36), (0.1, 2.8), (0.3, 6.4)])
def test_bursts_are_measured_with_and_without_their_units(
    correlation: float, expected: float
) -> None:
    losses, units = sessions(100_000, correlation)
    by_lags, by_units = design_effect(losses), design_effect(losses, units)
    assert by_lags.value == pytest.approx(expected, rel=0.2)
    assert by_units.value == pytest.approx(expected, rel=0.1)
    assert by_units.lag1 == pytest.approx(correlation, abs=0.02)
    assert by_lags.lower < by_lags.value < by_lags.upper


def test_bursts_are_refused_with_a_remedy_that_is_then_accepted() -> None:
    losses, units = sessions(40_000, 0.1)
    sentence = refusal(losses)
    assert sentence is not None
    size = recommend_block(losses)
    assert size is not None
    assert 35 <= size <= 150
    assert f"block of {size} rows" in sentence
    assert refusal(losses, block=size) is None
    assert refusal(losses, unit=units) is None
    assert burst_length(losses) == pytest.approx(10.0, rel=0.5)


def test_a_block_too_short_for_the_bursts_is_refused() -> None:
    losses, _ = sessions(40_000, 0.3)
    assert "still depend" in (refusal(losses, block=5) or "")


def test_too_few_blocks_to_judge_are_refused() -> None:
    losses, _ = sessions(1_000, 0.3)
    assert "only 10 blocks of 100" in (refusal(losses, block=100) or "")


def test_a_mean_that_wanders_has_no_block() -> None:
    rng = np.random.default_rng(2)
    rate = 0.5 + 0.45 * np.sin(np.arange(4_000) / 4_000 * 6.28)
    losses = (rng.random(4_000) < rate).astype(np.float64)
    with pytest.raises(InsufficientDataError):
        recommend_block(losses)
    assert "wanders" in (refusal(losses) or "")


def test_a_constant_loss_depends_on_nothing() -> None:
    assert autocorrelations(np.full(500, 0.3), 5).tolist() == [0.0] * 5
    assert design_effect(np.full(500, 0.3)).value == 1.0


def test_autocorrelations_equal_the_sum_as_written() -> None:
    values = np.random.default_rng(3).normal(size=300).cumsum()
    centred = values - values.mean()
    expected = [(centred[k:] * centred[:-k]).sum() / (centred**2).sum() for k in (1, 2, 3)]
    np.testing.assert_allclose(autocorrelations(values, 3), expected, rtol=1e-9)


def test_bad_reference_rows_are_refused() -> None:
    with pytest.raises(InsufficientDataError):
        design_effect(np.zeros(3))
    with pytest.raises(InvalidObservationError):
        design_effect(np.full(500, np.nan))
    with pytest.raises(InvalidObservationError, match="units"):
        design_effect(np.zeros(500), units=[1, 2])
