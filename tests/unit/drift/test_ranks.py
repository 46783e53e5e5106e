"""Ranks do not care about units; their p-values are uniform; codes have a place for the unseen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.ranks.categorical import OTHER, UNSEEN, CategoricalRanks, profile
from drift.ranks.numeric import NumericRanks, edges_from, meaning, ranks_before, tilts
from drift.ranks.tolerant import TolerantRanks, calibrated, form, scores_of

GRANT = np.array([[1e-5]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.lists(st.integers(0, 9)))
def test_ranks_equal_counting_one_by_one(bins: list[int], before: list[int]) -> None:
    pool = [b for b in before if b < 6]
    below, equal = ranks_before(np.array(bins), np.bincount(pool, minlength=6))
    for index, value in enumerate(bins):
        earlier = pool + bins[:index]
        assert below[index] == sum(b < value for b in earlier)
        assert equal[index] == sum(b == value for b in earlier)


def test_a_logarithm_or_another_unit_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    training, values = rng.normal(size=3_000), rng.normal(0.5, 1.0, 2_000)
    grants = np.repeat(GRANT, 2_000, axis=0)
    plain = NumericRanks(edges_from(training)).update(values, grants)
    for change in (np.exp, lambda x: 1_000.0 * x - 7.0):
        other = NumericRanks(edges_from(change(training))).update(change(values), grants)
        assert_array_equal(other.statistic, plain.statistic)


@pytest.mark.parametrize("ties", [False, True])
def test_pvalues_are_uniform_and_independent_even_with_ties(ties: bool) -> None:
    rng = np.random.default_rng(3)
    values = rng.lognormal(size=20_000)
    if ties:
        values = np.floor(values)
    pvalues, _ = NumericRanks(edges_from(values[:500])).pvalues(values[500:])
    # Each fails by chance in one run of a million.
    assert stats.kstest(pvalues, "uniform").pvalue > 1e-6
    assert abs(np.corrcoef(pvalues[1:], pvalues[:-1])[0, 1]) < 4.9 / np.sqrt(len(pvalues))


def test_every_bet_on_a_score_is_fair() -> None:
    linear, square, constant = tilts()
    for a, b, c in zip(linear, square, constant, strict=True):

        def payoff(z: float, a: float = a, b: float = b, c: float = c) -> float:
            cut = min(max(z, -5.0), 5.0)
            return float(np.exp(a * cut + b * cut**2 + c) * stats.norm.pdf(z))

        pieces = [integrate.quad(payoff, *part)[0] for part in ((-12, -5), (-5, 5), (5, 12))]
        assert_allclose(sum(pieces), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("shift", "scale", "expected"),
    [
        (1.0, 1.0, "values rose"),
        (-1.0, 1.0, "values fell"),
        (0.0, 2.0, "values spread out"),
        (0.0, 0.3, "values drew together"),
    ],
)
def test_an_alarm_says_what_the_values_did(shift: float, scale: float, expected: str) -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=3_000), rng.normal(shift, scale, 2_000)
    values = np.concatenate([before, after])
    grants = np.repeat(GRANT, 5_000, axis=0)
    alarm = NumericRanks(edges_from(rng.normal(size=2_000))).update(values, grants).alarms[0]
    assert meaning(alarm.stake) == expected
    assert abs(alarm.step - alarm.onset - 3_000) < 150
    tolerant = TolerantRanks(
        *calibrated(rng.normal(size=3_000), rng.normal(size=3_000), tolerance=0.02)
    )
    alarm = tolerant.update(values, grants).alarms[0]
    assert alarm.step > 3_000
    assert form(alarm.stake) == expected


def test_a_tolerated_drift_is_left_alone() -> None:
    rng = np.random.default_rng(5)
    made = calibrated(rng.normal(size=5_000), rng.normal(size=5_000), tolerance=0.05)
    values = rng.normal(0.05, 1.0, 50_000)
    assert not TolerantRanks(*made).update(values, np.full((50_000, 1), 1e-6)).alarms


def test_ranks_of_a_profile_are_uniform() -> None:
    training = np.random.default_rng(6).lognormal(size=10_000)
    points = np.quantile(training, (np.arange(256) + 0.5) / 256)
    scores = scores_of(training, points)
    assert_allclose(scores.mean(axis=1), 0.5, atol=0.005)
    assert (scores >= 0.0).all()
    assert (scores <= 1.0).all()


def test_a_constant_feature_has_no_edges_and_a_flag_has_one() -> None:
    with pytest.raises(InsufficientDataError, match="different values"):
        edges_from(np.full(100, 3.0))
    assert edges_from(np.r_[np.zeros(990), np.ones(10)]) == [1.0]
    assert edges_from(np.r_[np.zeros(10), np.ones(990)]) == [1.0]


@pytest.mark.parametrize("edges", [[], [1.0, 1.0], [2.0, 1.0], [np.nan], list(range(64))])
def test_edges_that_make_no_bins_are_refused(edges: list[float]) -> None:
    with pytest.raises(InvalidSettingError, match="edges"):
        NumericRanks(edges)


def test_categories_have_a_code_and_new_ones_are_unseen() -> None:
    values = ["a"] * 50 + ["b"] * 30 + [f"rare {i}" for i in range(20)]
    categories, shares = profile(values)
    assert categories.names[:2] == ("a", "b")
    assert categories.names[-2:] == (OTHER, UNSEEN)
    assert len(categories.names) == 18
    assert shares[:2] == [0.5, 0.3]
    assert shares[-1] == 0.0
    assert sum(shares) == pytest.approx(1.0)
    codes = categories.codes(["b", "rare 9", "never"])
    assert codes.tolist() == [1.0, 16.0, 17.0]


def test_a_category_never_seen_is_found_and_named() -> None:
    rng = np.random.default_rng(7)
    categories, shares = profile(rng.choice(["x", "y", "z"], 2_000).tolist())
    values = rng.choice(["x", "y", "z"], 4_000).tolist()
    values[3_000::10] = ["new"] * 100
    update = CategoricalRanks(shares).update(categories.codes(values), np.full((4_000, 1), 1e-5))
    alarm = update.alarms[0]
    assert categories.names[alarm.stake] == UNSEEN
    assert 3_000 <= alarm.step < 3_100
    assert update.statistic[alarm.step, 0] >= 1.0


def test_a_code_that_is_none_is_refused() -> None:
    detector = CategoricalRanks([0.5, 0.5])
    for bad in (2.0, -1.0, 0.5, np.nan):
        with pytest.raises(InvalidObservationError, match="index 1"):
            detector.update(np.array([0.0, bad]), np.zeros((2, 1)))
    assert detector.steps == 0
    with pytest.raises(InvalidSettingError):
        CategoricalRanks([1.0])
