"""Stakes, limits from reference samples, the pool's p-values, blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from drift.errors import (
    CheckpointError,
    DriftError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.means.blocks import Blocks
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool, uniforms
from drift.means.reference import from_counts, upper_limit
from drift.means.stakes import divergence, mean_stakes

limits = st.floats(1e-6, 1.0 - 1e-6)


def test_divergences_of_error_rates() -> None:
    assert_allclose(
        divergence(np.array([0.15, 0.2, 0.3]), 0.1), [0.012235, 0.044403, 0.153664], atol=5e-7
    )


@given(limit=limits, averaged=st.booleans())
def test_stakes_rise_and_never_lose_everything(limit: float, averaged: bool) -> None:
    stakes = mean_stakes(limit, averaged=averaged)
    assert (np.diff(stakes) > 0.0).all()
    assert stakes[0] > 0.0
    assert stakes[-1] * limit < 1.0


def test_the_gentlest_stake_is_the_likelihood_ratio_of_the_smallest_harm() -> None:
    stakes = mean_stakes(0.1)
    assert_allclose(1.0 + stakes[0] * 0.9, 0.12 / 0.1, rtol=1e-9)
    assert_allclose(1.0 - stakes[0] * 0.1, 0.88 / 0.9, rtol=1e-9)


@given(limit=limits, rate=st.floats(0.0, 1.0))
def test_a_bet_is_fair_at_the_limit_and_loses_below(limit: float, rate: float) -> None:
    stakes = mean_stakes(limit)
    expected = rate * (1.0 + stakes * (1.0 - limit)) + (1.0 - rate) * (1.0 - stakes * limit)
    assert (expected <= 1.0 + 1e-9).all() == (rate <= limit * (1.0 + 1e-12))


def test_clopper_pearson_limits() -> None:
    assert from_counts(500, 5_000) == pytest.approx(0.107252, abs=5e-7)
    assert from_counts(0, 100) == pytest.approx(1.0 - 0.05 ** (1 / 100), rel=1e-9)
    assert from_counts(7, 7) == 1.0
    assert from_counts(3, 10, tolerance=0.9) == 1.0
    losses = np.zeros(5_000)
    losses[:500] = 1.0
    assert upper_limit(losses, tolerance=0.01) == pytest.approx(0.117252, abs=5e-7)


def test_a_limit_moves_with_the_range_of_the_losses() -> None:
    losses = np.random.default_rng(4).beta(1.0, 9.0, 800)
    plain = upper_limit(losses)
    assert losses.mean() < plain < losses.mean() + 0.02
    assert upper_limit(50.0 * losses - 7.0, lower=-7.0, upper=43.0) == pytest.approx(
        50.0 * plain - 7.0, abs=1e-6
    )


def test_three_rows_give_a_limit_that_is_wide_but_holds() -> None:
    assert upper_limit(np.zeros(3)) == pytest.approx(1.0 - 0.05 ** (1 / 3))
    assert upper_limit(np.array([0.2, 0.4, 0.1])) > 0.6
    assert upper_limit(np.full(1_000, 0.25)) < 0.3


@pytest.mark.parametrize(
    "losses", [np.array([0.1, np.nan]), np.array([0.2, 1.1]), np.array([np.inf]), np.array([])]
)
def test_reference_losses_that_are_no_losses_are_refused(losses: np.ndarray) -> None:
    with pytest.raises((InvalidObservationError, InsufficientDataError)):
        upper_limit(losses)


@pytest.mark.parametrize(("errors", "n"), [(3, 2), (-1, 2), (0, 0), (1.5, 3)])
def test_counts_that_cannot_be_are_refused(errors: int, n: int) -> None:
    with pytest.raises(DriftError):
        from_counts(errors, n)


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, 1.1, float("nan"), "0.1", True, 1e-12])
def test_a_limit_outside_the_range_is_refused(limit: float) -> None:
    with pytest.raises(InvalidSettingError):
        BoundedMean(limit)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSettingError):
        BoundedMean(0.5, lower=1.0, upper=1.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 10**12), st.lists(st.integers(1, 9), min_size=1))
def test_draws_depend_on_the_step_and_not_on_the_calls(
    seed: int, start: int, sizes: list[int]
) -> None:
    whole = uniforms(seed, start, sum(sizes))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    parts = [uniforms(seed, start + o, n) for o, n in zip(offsets, sizes, strict=False)]
    assert_array_equal(np.concatenate(parts), whole)


def test_pvalues_of_a_steady_stream_are_uniform_and_independent() -> None:
    rng = np.random.default_rng(8)
    values = (rng.random(20_000) < 0.03).astype(np.float64)
    ranks = GrowingPool(0.03, seed=1).pvalues(values)
    # Each fails by chance in one run of a million.
    assert stats.kstest(ranks, "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(ranks[1:], ranks[:-1])[0, 1]) < 4.9 / np.sqrt(20_000)


def test_the_pool_takes_zeros_and_ones_only() -> None:
    pool = GrowingPool(0.1)
    with pytest.raises(InvalidObservationError, match="0 or 1"):
        pool.update(np.array([0.0, 0.5]), np.zeros((2, 1)))
    assert pool.steps == 0


def test_the_pool_survives_its_alarms() -> None:
    rng = np.random.default_rng(12)
    pool = GrowingPool(0.1)
    values = np.concatenate([rng.random(4_000) < 0.1, rng.random(2_000) < 0.5]).astype(float)
    update = pool.update(values, np.full((6_000, 1), 1e-4))
    assert update.alarms
    assert pool.errors == int(values.sum())


@settings(max_examples=50)
@given(
    st.integers(1, 9),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_blocks_do_not_depend_on_the_calls(size: int, rows: list[float], cuts: list[int]) -> None:
    values = np.array(rows)
    means, last_rows = Blocks(size).push(values)
    blocks, parts, lasts, start = Blocks(size), [], [], 0
    for stop in sorted({*(c for c in cuts if 0 < c < len(values)), len(values)}):
        other = Blocks(size)
        other.restore(blocks.to_bytes())
        blocks = other
        part, last = blocks.push(values[start:stop])
        parts.append(part)
        lasts.append(last + start)
        start = stop
    assert_array_equal(np.concatenate(parts), means)
    assert_array_equal(np.concatenate(lasts), last_rows)
    assert_allclose(means, [np.mean(values[i - size + 1 : i + 1]) for i in last_rows], rtol=1e-9)
    assert blocks.waiting == len(values) % size


def test_blocks_refuse_what_is_no_number_and_foreign_states() -> None:
    blocks = Blocks(4)
    blocks.push(np.array([1.0, 2.0]))
    with pytest.raises(InvalidObservationError):
        blocks.push(np.array([1.0, np.nan]))
    assert blocks.waiting == 2
    with pytest.raises(CheckpointError):
        Blocks(5).restore(blocks.to_bytes())
    with pytest.raises(InvalidSettingError):
        Blocks(0)
