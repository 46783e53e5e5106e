"""Ratios, areas and calibration as means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from drift.errors import InvalidObservationError, InvalidSettingError
from drift.means.auc import AucPairs
from drift.means.bounded import BoundedMean
from drift.means.ratios import Reduced, f1, precision, ratio, recall
from drift.means.sampled import SampledMean
from drift.means.signed import SignedMean, TwoSidedMean, rose

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
least = st.floats(0.01, 0.99)


def in_range(it: Reduced) -> bool:
    return bool(((it.values >= it.lower) & (it.values <= it.upper)).all())


@given(flags, least)
def test_a_metric_is_below_its_least_exactly_where_the_mean_is_above_zero(
    rows: list[tuple[bool, bool]], least: float
) -> None:
    labels = np.array([label for label, _ in rows], dtype=np.float64)
    outputs = np.array([output for _, output in rows], dtype=np.float64)
    for ours, theirs in (
        (f1, metrics.f1_score),
        (precision, metrics.precision_score),
        (recall, metrics.recall_score),
    ):
        it = ours(labels, outputs, least)
        assert in_range(it)
        if len(it.values):
            value = float(theirs(labels, outputs, zero_division=0.0))
            total = float(it.values.sum())
            assert np.sign(round(total, 9)) == np.sign(round(least - value, 9))


def test_a_ratio_of_sums_is_a_mean() -> None:
    clicks, views = np.array([1.0, 0.0, 3.0]), np.array([4.0, 2.0, 6.0])
    it = ratio(clicks, views, 1 / 3, largest_numerator=3.0, largest_denominator=6.0)
    assert in_range(it)
    assert it.values.sum() == pytest.approx(0.0)
    with pytest.raises(InvalidObservationError, match="index 2"):
        ratio(clicks, views, 0.3, largest_numerator=2.0, largest_denominator=6.0)


def test_labels_that_are_not_flags_are_refused() -> None:
    with pytest.raises(InvalidObservationError, match="label at index 1"):
        f1(np.array([1.0, 0.5]), np.array([1.0, 1.0]), 0.5)
    with pytest.raises(InvalidObservationError, match="outputs"):
        recall(np.array([1.0, 0.0]), np.array([1.0]), 0.5)
    with pytest.raises(InvalidSettingError):
        f1(np.ones(2), np.ones(2), 1.0)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=80),
    st.integers(1, 4),
    st.lists(st.integers(1, 80), max_size=4),
)
def test_pairs_do_not_depend_on_the_calls(
    rows: list[tuple[int, bool]], negatives: int, cuts: list[int]
) -> None:
    scores = np.array([float(score) for score, _ in rows])
    labels = np.array([float(label) for _, label in rows])
    shares, last_rows = AucPairs(negatives).push(scores, labels)
    pairs, start = AucPairs(negatives), 0
    found, at = [np.empty(0)], [np.empty(0, dtype=np.int64)]
    for stop in sorted({*(c for c in cuts if c < len(rows)), len(rows)}):
        other = AucPairs(negatives)
        other.restore(pairs.to_bytes())
        pairs = other
        part, rows_of_part = pairs.push(scores[start:stop], labels[start:stop])
        found.append(part)
        at.append(rows_of_part + start)
        start = stop
    assert_array_equal(np.concatenate(found), shares)
    assert_array_equal(np.concatenate(at), last_rows)
    assert len(shares) == min(int(labels.sum()), int((1 - labels).sum()) // negatives)


def test_the_mean_share_is_one_less_auc() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(40_000) < 0.2).astype(np.float64)
    scores = np.round(rng.normal(size=40_000) + labels, 1)
    shares, _ = AucPairs(4).push(scores, labels)
    expected = 1.0 - float(metrics.roc_auc_score(labels, scores))
    assert shares.mean() == pytest.approx(expected, abs=5 * shares.std() / np.sqrt(len(shares)))


def test_pairs_refuse_what_is_no_score() -> None:
    pairs = AucPairs(1)
    with pytest.raises(InvalidObservationError):
        pairs.push(np.array([0.1, np.nan]), np.zeros(2))
    with pytest.raises(InvalidObservationError, match="label at index 0"):
        pairs.push(np.array([0.1]), np.array([0.5]))
    with pytest.raises(InvalidObservationError, match="labels"):
        pairs.push(np.array([0.1]), np.zeros(2))


def test_calibration_is_watched_on_both_sides() -> None:
    rng = np.random.default_rng(2)
    predicted = rng.uniform(0.2, 0.8, 5_000)
    grants = np.full((5_000, 1), 1e-5)
    for shift, direction in ((0.15, True), (-0.15, False)):
        labels = (rng.random(5_000) < predicted + shift).astype(np.float64)
        alarm = TwoSidedMean(-0.02, 0.02).update(labels - predicted, grants).alarms[0]
        assert rose(alarm.stake) is direction
    with pytest.raises(InvalidSettingError, match="least"):
        TwoSidedMean(0.1, -0.1)


def test_rows_that_are_all_labelled_find_a_rise_as_a_plain_mean_does() -> None:
    values = (np.random.default_rng(3).random(900) < 0.3).astype(np.float64)
    ones, grants = np.ones(900), np.full((900, 1), 1e-5)
    rows = np.column_stack([values, ones, ones, 0.1 * ones])
    sampled = SampledMean(0.1, floor=1.0).update(rows, grants).alarms[0].step
    plain = BoundedMean(0.1).update(values, grants).alarms[0].step
    assert sampled <= 2 * plain


@given(st.floats(0.01, 0.99), st.floats(0.02, 1.0), st.floats(0.0, 1.0), st.floats(0.001, 0.999))
def test_a_sampled_bet_is_fair_at_the_limit_whatever_the_forecast(
    risk: float, probability: float, forecast: float, limit: float
) -> None:
    detector = SampledMean(limit, floor=0.02)
    rows = np.array(
        [
            [1, 1, probability, forecast],
            [0, 1, probability, forecast],
            [0, 0, probability, forecast],
        ]
    )
    chances = np.array([probability * risk, probability * (1 - risk), 1 - probability])
    expected = detector._factors(rows) @ chances
    assert_allclose(expected - 1.0, detector._stakes[:, 0] * (risk - limit), atol=1e-9)


def test_a_sampled_row_that_cannot_be_is_refused() -> None:
    detector = SampledMean(0.1, floor=0.1)
    for row in ([0.5, 1, 0.05, 0.1], [1.5, 1, 0.5, 0.1], [0.5, 0.5, 0.5, 0.1], [0.5, 1, 0.5, 2.0]):
        with pytest.raises(InvalidObservationError, match="index 0"):
            detector.update(np.array([row]), np.zeros((1, 1)))
    with pytest.raises(InvalidSettingError):
        SampledMean(0.1, floor=0.0)
    with pytest.raises(InvalidSettingError):
        SignedMean(1.0)
