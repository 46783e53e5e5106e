"""Laws that hold for every detector on the engine."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from drift.base import Alarm, Detector, Values
from drift.engine import Engine
from drift.errors import CheckpointError, InsufficientDataError, InvalidObservationError
from tests.unit.drift.detectors import CASES, Case, errors, grants_of

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
seeds = st.integers(0, 2**32 - 1)
rates = st.sampled_from([0.01, 0.1, 0.3, 0.9])


def in_parts(
    detector: Detector, values: Values, grants: Values, cuts: list[int]
) -> tuple[Values, list[Alarm]]:
    """Feed the values in calls that end at the cuts."""
    statistics, alarms = [], []
    for start, stop in pairwise(sorted({0, *cuts, len(values)})):
        update = detector.update(values[start:stop], grants[start:stop])
        statistics.append(update.statistic)
        for alarm in update.alarms:
            alarms.append(
                Alarm(
                    alarm.step + start,
                    alarm.tier,
                    alarm.statistic,
                    alarm.threshold,
                    alarm.stake,
                    alarm.onset,
                )
            )
    return np.concatenate(statistics), alarms


@cases
@settings(max_examples=25, deadline=None)
@given(seed=seeds, rate=rates, n=st.integers(1, 700), data=st.data())
def test_any_split_into_calls_gives_the_same_floats_and_alarms(
    case: Case, seed: int, rate: float, n: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    values, grants = case.draw(rng, n, rate), grants_of(rng, n, case.tiers)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=8))
    whole = case.build().update(values, grants)
    statistic, alarms = in_parts(case.build(), values, grants, cuts)
    assert_array_equal(statistic, whole.statistic)
    assert alarms == list(whole.alarms)


@cases
def test_a_loop_over_the_rows_gives_the_same_floats_and_alarms(case: Case) -> None:
    rng = np.random.default_rng(5)
    values, grants = case.draw(rng, 300, 0.4), grants_of(rng, 300, case.tiers)
    whole = case.build().update(values, grants)
    statistic, alarms = in_parts(case.build(), values, grants, list(range(300)))
    assert_array_equal(statistic, whole.statistic)
    assert alarms == list(whole.alarms)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(1, 1_000), scale=st.sampled_from([1e-6, 1e-3, 0.3]))
@example(seed=1, n=9_000, scale=1e-3)
def test_a_batch_equals_the_recursion_as_it_is_written(seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    factors = np.exp(rng.normal(-0.02, 0.3, (3, n)))
    factors = np.clip(factors, 0.1, 10.0)
    grants = rng.uniform(0.0, scale, (n, 2))
    engine = Engine(stakes=3, tiers=2, head_start=[0.0, 0.1], smallest=0.1, largest=10.0)
    update = engine.advance(n, lambda start, stop: factors[:, start:stop], grants)

    wealth = np.array([[0.0] * 3, [0.1] * 3])
    height, began = np.zeros(3), np.zeros(3, dtype=int)
    alarms, expected = [], np.empty((n, 2))
    for step in range(n):
        wealth = factors[:, step] * (wealth + grants[step][:, None])
        height = height + np.log(factors[:, step])
        touched = height <= 0.0
        height[touched], began[touched] = 0.0, step + 1
        leading = wealth.argmax(axis=1)
        for tier in range(2):
            statistic = wealth[tier].mean()
            expected[step, tier] = statistic
            if statistic >= 1.0:
                alarms.append((step, tier, max(step - began[leading[tier]], 0)))
                wealth[tier] = 0.0
    assert_allclose(update.statistic, expected, rtol=1e-9)
    assert [(a.step, a.tier, a.onset) for a in update.alarms] == alarms


@cases
@settings(max_examples=25, deadline=None)
@given(seed=seeds, rate=rates, n=st.integers(2, 500), data=st.data())
def test_restoring_a_checkpoint_equals_never_having_stopped(
    case: Case, seed: int, rate: float, n: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    values, grants = case.draw(rng, n, rate), grants_of(rng, n, case.tiers)
    cut = data.draw(st.integers(1, n - 1))
    first = case.build()
    first.update(values[:cut], grants[:cut])
    saved = first.to_bytes()
    second = case.build()
    second.restore(saved)
    assert second.steps == cut
    assert second.to_bytes() == saved
    expected = first.update(values[cut:], grants[cut:])
    received = second.update(values[cut:], grants[cut:])
    assert_array_equal(received.statistic, expected.statistic)
    assert received.alarms == expected.alarms
    assert second.to_bytes() == first.to_bytes()


@cases
def test_a_checkpoint_stays_as_small_as_it_says(case: Case) -> None:
    assert len(case.build().to_bytes()) < case.most_bytes * case.tiers


@cases
def test_damaged_foreign_and_outdated_checkpoints_are_refused(case: Case) -> None:
    rng = np.random.default_rng(1)
    detector = case.build()
    detector.update(case.draw(rng, 40, 0.2), grants_of(rng, 40, case.tiers))
    saved = detector.to_bytes()
    flipped = bytearray(saved)
    flipped[60] ^= 1
    newer = saved[:4] + b"\x63\x00" + saved[6:]
    for bad in (b"", b"nonsense", saved[:-9], bytes(flipped), newer):
        with pytest.raises(CheckpointError):
            detector.restore(bad)
    for other in CASES:
        if other.name != case.name:
            with pytest.raises(CheckpointError, match="other settings"):
                other.build().restore(saved)
    assert detector.to_bytes() == saved


@cases
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e12, -1e12])
def test_a_bad_value_is_named_and_changes_nothing(case: Case, bad: float) -> None:
    rng = np.random.default_rng(2)
    detector = case.build()
    values, grants = case.draw(rng, 50, 0.2), grants_of(rng, 50, case.tiers)
    detector.update(values, grants)
    before = detector.to_bytes()
    spoiled = values.copy()
    spoiled[17] = bad if case.bounded else np.copysign(np.inf, bad)
    with pytest.raises(InvalidObservationError, match="at index 17"):
        detector.update(spoiled, grants)
    assert detector.to_bytes() == before


@cases
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e-9])
def test_a_bad_grant_is_named_and_changes_nothing(case: Case, bad: float) -> None:
    rng = np.random.default_rng(2)
    detector = case.build()
    values, grants = case.draw(rng, 50, 0.2), grants_of(rng, 50, case.tiers)
    before = detector.to_bytes()
    grants[33, -1] = bad
    with pytest.raises(InvalidObservationError, match="grant at index 33"):
        detector.update(values, grants)
    with pytest.raises(InvalidObservationError, match="grants: expected shape"):
        detector.update(values, np.zeros((49, case.tiers)))
    with pytest.raises(InvalidObservationError, match="grants: expected shape"):
        detector.update(values, np.zeros((50, case.tiers + 1)))
    assert detector.to_bytes() == before


@cases
def test_no_values_at_all_are_refused(case: Case) -> None:
    values = case.draw(np.random.default_rng(0), 3, 0.2)[:0]
    with pytest.raises(InsufficientDataError):
        case.build().update(values, np.zeros((0, case.tiers)))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, rate=rates, n=st.integers(1, 2_000))
def test_twice_the_grants_give_twice_the_statistic_before_the_first_alarm(
    seed: int, rate: float, n: int
) -> None:
    case = CASES[0]
    rng = np.random.default_rng(seed)
    values, grants = errors(rng, n, rate), grants_of(rng, n, 1)
    once, twice = case.build().update(values, grants), case.build().update(values, 2.0 * grants)
    end = twice.alarms[0].step + 1 if twice.alarms else n
    assert_array_equal(twice.statistic[:end], 2.0 * once.statistic[:end])


def test_a_tier_is_not_disturbed_by_the_alarms_of_another() -> None:
    case = CASES[1]
    rng = np.random.default_rng(11)
    values, grants = case.draw(rng, 3_000, 0.4), grants_of(rng, 3_000, case.tiers)
    louder = grants.copy()
    louder[:, 1] *= 100.0
    before, after = case.build().update(values, grants), case.build().update(values, louder)
    assert len(after.alarms) > len(before.alarms)
    assert_array_equal(after.statistic[:, [0, 2]], before.statistic[:, [0, 2]])


def test_the_onset_is_where_the_errors_began() -> None:
    values = np.concatenate([np.zeros(100_000), np.ones(20)])
    update = CASES[0].build().update(values, np.full((len(values), 1), 1e-6))
    alarm = update.alarms[0]
    assert alarm.step - alarm.onset == 100_000


def test_long_batches_neither_overflow_nor_lose_the_evidence() -> None:
    case = CASES[2]
    values = np.concatenate([np.zeros(200_000), np.ones(50)])
    grants = np.full((len(values), 1), 1e-9)
    with np.errstate(all="raise", under="ignore"):
        update = case.build().update(values, grants)
    assert np.isfinite(update.statistic).all()
    assert update.alarms[0].step >= 200_000
