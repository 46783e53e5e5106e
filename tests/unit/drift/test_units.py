"""Units by key, strata, and what the timing of labels says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from drift.errors import (
    CheckpointError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.means.bounded import BoundedMean
from drift.means.stratified import StratifiedMean, age_edges, strata_of, stratum_limits
from drift.means.units import Units
from drift.timing import delay_refusal, season_refusal

rows = st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from("abcdef")), min_size=1, max_size=80)


@given(rows, st.integers(1, 6), st.lists(st.integers(1, 80), max_size=4))
def test_units_do_not_depend_on_the_calls(
    given_rows: list[tuple[float, str]], gap: int, cuts: list[int]
) -> None:
    values, keys = np.array([v for v, _ in given_rows]), [k for _, k in given_rows]
    whole = Units(gap).push(values, keys)
    units, start, means, at = Units(gap), 0, [np.empty(0)], [np.empty(0, dtype=np.int64)]
    for stop in sorted({*(c for c in cuts if c < len(values)), len(values)}):
        other = Units(gap)
        other.restore(units.to_bytes())
        units = other
        part = units.push(values[start:stop], keys[start:stop])
        means.append(part.means)
        at.append(part.at + start)
        start = stop
    assert_array_equal(np.concatenate(means), whole.means)
    assert_array_equal(np.concatenate(at), whole.at)
    assert len(values) == whole.rows.sum() + sum(unit.rows for unit in units._open.values())
    assert units.waiting <= gap


def test_a_session_ends_when_enough_other_rows_have_passed() -> None:
    done = Units(3).push(np.array([1.0, 0.0, 0.5, 0.0, 0.0, 0.0]), list("abaccc"))
    assert done.keys == ("b", "a")
    assert_allclose(done.means, [0.0, 0.75])
    assert done.rows.tolist() == [1, 2]
    assert done.at.tolist() == [4, 5]


def test_units_refuse_what_they_cannot_place() -> None:
    units = Units(2)
    with pytest.raises(InvalidObservationError, match="keys"):
        units.push(np.zeros(2), ["a"])
    with pytest.raises(InvalidObservationError, match="index 1"):
        units.push(np.zeros(2), ["a", 3])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(InvalidObservationError, match="index 0"):
        units.push(np.array([np.nan]), ["a"])
    assert units.waiting == 0
    with pytest.raises(CheckpointError):
        Units(3).restore(units.to_bytes())


def test_one_stratum_equals_a_plain_mean() -> None:
    values = (np.random.default_rng(1).random(700) < 0.2).astype(np.float64)
    grants = np.full((700, 1), 1e-3)
    plain = BoundedMean(0.1).update(values, grants)
    strata = StratifiedMean([0.1]).update(np.column_stack([values, np.zeros(700)]), grants)
    assert_allclose(strata.statistic, plain.statistic, rtol=1e-9)
    assert strata.alarms[0].step == plain.alarms[0].step


def test_limits_come_from_each_stratum() -> None:
    ages = np.concatenate([np.linspace(0.0, 9.9, 1_000), np.linspace(10.0, 20.0, 1_000)])
    losses = np.zeros(2_000)
    losses[:1_000:5], losses[1_000::50] = 1.0, 1.0
    edges = age_edges(ages, 2)
    strata = strata_of(ages, edges)
    early, late = stratum_limits(losses, strata)
    assert 0.2 < early < 0.24
    assert 0.02 < late < 0.04
    with pytest.raises(InsufficientDataError, match="stratum 0"):
        stratum_limits(losses[:60], np.r_[np.zeros(49, int), np.ones(11, int)])


@pytest.mark.parametrize("bad", [[0.5, 2.0], [0.5, -1.0], [0.5, 0.5], [1.5, 0.0], [np.nan, 0.0]])
def test_a_row_outside_the_strata_is_refused(bad: list[float]) -> None:
    detector = StratifiedMean([0.1, 0.2])
    with pytest.raises(InvalidObservationError):
        detector.update(np.array([[0.0, 1.0], bad]), np.zeros((2, 1)))
    assert detector.steps == 0
    with pytest.raises(InvalidSettingError):
        StratifiedMean([])
    with pytest.raises(InvalidSettingError):
        StratifiedMean([0.1, 1.0])


def labels(seed: int, dependent: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    losses = (rng.random(3_000) < 0.1).astype(np.float64)
    mean_age = np.where((losses == 1.0) & dependent, 300.0, 3_000.0)
    return losses, rng.exponential(mean_age)


def test_labels_whose_age_tells_the_loss_are_refused_until_stratified() -> None:
    losses, ages = labels(1, dependent=True)
    assert "age strata" in (delay_refusal(losses, ages, stratified=False) or "")
    assert delay_refusal(losses, ages, stratified=True) is None


def test_labels_whose_age_tells_nothing_are_accepted() -> None:
    # Each is refused by chance once in 1,000 times: five of 60 by less than one in a million.
    refused = sum(
        delay_refusal(*labels(seed, dependent=False), stratified=False) is not None
        for seed in range(60)
    )
    assert refused <= 4
    losses, _ = labels(1, dependent=True)
    assert delay_refusal(losses, np.full(3_000, 48.0), stratified=False) is None
    assert delay_refusal(np.zeros(3_000), labels(1, False)[1], stratified=False) is None


def test_a_daily_cycle_above_the_limit_is_refused() -> None:
    rng = np.random.default_rng(4)
    hours = np.arange(20_000) % 24
    losses = (rng.random(20_000) < 0.1 + 0.05 * np.sin(hours / 24 * 6.283)).astype(np.float64)
    assert "worst" in (season_refusal(losses, hours, limit=0.11) or "")
    assert season_refusal(losses, hours, limit=0.2) is None
    steady = (rng.random(20_000) < 0.1).astype(np.float64)
    assert season_refusal(steady, hours, limit=0.11) is None
