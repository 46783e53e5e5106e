"""Predictions come out in their order with the labels that came in time; hours have limits."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from drift.errors import (
    CheckpointError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.means.hours import HOURS, hour_strata, hours_of_week
from drift.means.stratified import StratifiedMean
from drift.means.watermark import Watermark

AGE = 10.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.integers(0, 25), st.integers(0, 1)),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(1, 140), max_size=6),
)
def test_released_is_what_was_predicted_in_order_with_the_labels_that_came_in_time(
    rows: list[tuple[int, int, int]], looks: list[int]
) -> None:
    watermark = Watermark(AGE)
    events: list[tuple[float, int, str, int]] = []
    for key, (at, delay, _) in enumerate(rows):
        events += [(at, 0, "predict", key), (at + delay, 1, "label", key)]
    events += [(look, 2, "release", 0) for look in (*looks, 1_000)]
    keys: list[int] = []
    losses: list[float] = []
    given_out: dict[int, float] = {}
    for time, _, what, key in sorted(events):
        restored = Watermark(AGE)
        restored.restore(watermark.to_bytes())
        watermark = restored
        if what == "predict":
            watermark.predict(np.array([key]), np.array([float(time)]))
        elif what == "label":
            watermark.label(np.array([key]), np.array([float(rows[key][2])]))
        else:
            released = watermark.release(float(time))
            keys += released.keys.tolist()
            losses += released.losses.tolist()
            given_out |= dict.fromkeys(released.keys.tolist(), float(time))
    assert keys == sorted(range(len(rows)), key=lambda key: (rows[key][0], key))
    assert watermark.waiting == 0
    late = 0
    for key, loss in zip(keys, losses, strict=True):
        at, delay, wrong = rows[key]
        in_time = at + delay <= given_out[key]
        late += not in_time
        assert loss == wrong if in_time else np.isnan(loss)
    assert watermark.late == late


def test_missing_labels_are_a_stream_of_their_own() -> None:
    watermark = Watermark(AGE)
    watermark.predict(np.arange(4), np.array([3.0, 1.0, 2.0, 30.0]))
    watermark.label(np.array([2, 0, 9]), np.array([1.0, 0.0, 1.0]))
    released = watermark.release(20.0)
    assert_array_equal(released.keys, [1, 2, 0])
    assert_array_equal(released.missing, [1.0, 0.0, 0.0])
    assert_array_equal(released.losses[released.labelled], [1.0, 0.0])
    assert (watermark.waiting, watermark.late) == (1, 1)


def test_the_first_of_two_labels_counts_within_a_call_and_between_calls() -> None:
    watermark = Watermark(AGE)
    watermark.predict(np.array([1, 2]), np.array([0.0, 0.0]))
    watermark.label(np.array([1, 1]), np.array([0.0, 1.0]))
    watermark.label(np.array([1, 2]), np.array([1.0, 1.0]))
    assert_array_equal(watermark.release(10.0).losses, [0.0, 1.0])


def test_what_cannot_be_placed_is_refused_and_changes_nothing() -> None:
    watermark = Watermark(AGE)
    watermark.predict(np.array([1, 2]), np.array([0.0, 8.0]))
    watermark.release(11.0)
    before = watermark.to_bytes()
    with pytest.raises(InvalidObservationError, match="time at index 1"):
        watermark.predict(np.array([3, 4]), np.array([5.0, 1.0]))
    with pytest.raises(InvalidObservationError, match="key at index 1"):
        watermark.predict(np.array([3, 2]), np.array([9.0, 9.0]))
    with pytest.raises(InvalidObservationError, match="key at index 1"):
        watermark.predict(np.array([3, 3]), np.array([9.0, 9.0]))
    with pytest.raises(InvalidObservationError, match="time at index 0"):
        watermark.predict(np.array([3]), np.array([np.nan]))
    with pytest.raises(InvalidObservationError, match="loss at index 0"):
        watermark.label(np.array([2]), np.array([np.inf]))
    with pytest.raises(InvalidObservationError, match="losses: expected shape"):
        watermark.label(np.array([2]), np.array([0.0, 1.0]))
    with pytest.raises(InvalidObservationError, match="times: expected shape"):
        watermark.predict(np.array([3]), np.array([9.0, 9.0]))
    with pytest.raises(InvalidSettingError, match="now"):
        watermark.release(10.0)
    assert watermark.to_bytes() == before
    with pytest.raises(CheckpointError, match="other settings"):
        Watermark(11.0).restore(before)
    with pytest.raises(InvalidSettingError, match="age"):
        Watermark(0.0)


@given(st.integers(-(10**9), 4 * 10**9), st.sampled_from([-5, 0, 10]))
def test_hours_of_the_week_are_those_of_the_calendar(seconds: int, ahead: int) -> None:
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    local = utc + timedelta(hours=ahead)
    found = hours_of_week(np.array([float(seconds)]), offset=3_600.0 * ahead)
    assert found.tolist() == [local.weekday() * 24 + local.hour]


def test_a_weekly_cycle_has_a_limit_for_each_hour_and_raises_no_alarm() -> None:
    rng = np.random.default_rng(5)
    rates = 0.1 + 0.08 * np.sin(2.0 * np.pi * np.arange(HOURS) / 24.0)

    def weeks(count: int) -> tuple[np.ndarray, np.ndarray]:
        times = np.sort(rng.uniform(0.0, 604_800.0 * count, 17_000 * count))
        return (rng.random(len(times)) < rates[hours_of_week(times)]).astype(np.float64), times

    losses, times = weeks(4)
    found = hour_strata(losses, times)
    assert len(found.limits) == HOURS
    assert (np.array(found.limits)[list(found.strata)] >= rates).mean() > 0.95
    losses, times = weeks(1)
    detector = StratifiedMean(list(found.limits))
    rows = np.column_stack([losses, found.of(times)])
    assert not detector.update(rows, np.full((len(rows), 1), 1e-6)).alarms


def test_hours_of_few_rows_share_a_limit_and_their_losses_have_no_say() -> None:
    rng = np.random.default_rng(6)
    times = np.sort(rng.uniform(0.0, 604_800.0, 1_500))
    found = hour_strata(np.zeros(1_500), times)
    assert found.strata == hour_strata(rng.random(1_500), times).strata
    counts = np.bincount(found.of(times))
    assert len(counts) == len(found.limits) > 15
    assert counts.min() >= 50
    assert list(found.strata) == sorted(found.strata)
    with pytest.raises(InsufficientDataError):
        hour_strata(np.zeros(40), times[:40])
    with pytest.raises(InvalidObservationError, match="times"):
        hour_strata(np.zeros(60), times[:50])
