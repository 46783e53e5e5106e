"""The confirm gate spends what was granted, and the digest bounds its share of false ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from drift.digest import discoveries, evidence
from drift.errors import (
    CheckpointError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.means.bounded import BoundedMean
from drift.streaming.confirm import ConfirmGate


def changing(n: int = 4_000, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(n) < np.where(np.arange(n) < n // 2, 0.1, 0.4)).astype(np.float64)


def test_a_suspicion_that_fresh_rows_confirm_is_an_alarm() -> None:
    gate = ConfirmGate(0.12)
    update = gate.update(changing(), np.full((4_000, 1), 1e-5))
    alarm = update.alarms[0]
    suspected = alarm.step - alarm.fresh
    assert 2_000 < suspected < alarm.step < 2_400
    # Its onset is of the change, which was suspected later.
    assert 1_950 < alarm.step - alarm.onset < suspected
    assert update.statistic[alarm.step, 0] == alarm.statistic >= alarm.threshold == 1.0
    assert (update.statistic[: suspected + 1] == 0.0).all()
    assert (update.statistic[suspected + 1 : alarm.step + 1] > 0.0).all()


def test_the_stake_is_half_of_what_was_granted_when_the_trial_opened() -> None:
    gate, values = ConfirmGate(0.12), changing()
    alarm = ConfirmGate(0.12).update(values, np.full((4_000, 1), 1e-5)).alarms[0]
    opened = alarm.step - alarm.fresh
    update = gate.update(values[: opened + 1], np.full((opened + 1, 1), 1e-5))
    assert gate.staked == gate.saved == pytest.approx((opened + 1) * 1e-5 / 2)
    # By hand: the e-process of the fresh rows, from wealth 1, against 1 / alpha.
    fresh = values[opened + 1 : alarm.step + 1]
    stakes = BoundedMean(0.12).stakes[:, None]
    wealth = np.prod(1.0 + stakes * (fresh - 0.12), axis=1).mean()
    assert alarm.statistic == pytest.approx(gate.staked * wealth)
    assert alarm.statistic >= 1.0
    assert not update.alarms


def test_what_is_granted_during_a_trial_pays_for_the_next() -> None:
    # Whatever comes, this one suspects from the thirtieth row on, all the time.
    gate = ConfirmGate(0.5, opened_by="ddm", opener={"drift_threshold": 0.0}, patience=50)
    values, staked = changing(), []
    for start in range(0, 4_000, 10):
        gate.update(values[start : start + 10], np.full((10, 1), 1e-5))
        staked.append(gate.staked)
        assert gate.staked + gate.saved == pytest.approx((start + 10) * 1e-5)
    assert len(set(staked)) > 50
    assert 0.03 < gate.staked < 0.04


def test_a_trial_is_closed_after_its_patience_and_what_came_meanwhile_opens_the_next() -> None:
    rng = np.random.default_rng(7)
    # A fall opens a trial that cannot confirm; the rise comes while it runs, and is not forgotten.
    rates = np.repeat([0.4, 0.1, 0.4], [1_000, 900, 1_100])
    values = (rng.random(3_000) < rates).astype(np.float64)
    gate = ConfirmGate(0.2, patience=1_000)
    update = gate.update(values, np.full((3_000, 1), 1e-6))
    fall = int(np.flatnonzero(update.statistic[:, 0])[0])
    assert 1_000 < fall < 1_300
    alarm = update.alarms[0]
    assert alarm.step - alarm.fresh == fall + 999
    assert alarm.fresh < 200


def test_without_grants_there_is_no_trial_and_the_opener_learns_what_is_usual() -> None:
    usual = (np.random.default_rng(5).random(1_000) < 0.1).astype(np.float64)
    bad = (np.random.default_rng(4).random(1_000) < 0.4).astype(np.float64)
    untaught, taught = ConfirmGate(0.12), ConfirmGate(0.12)
    assert not untaught.update(bad, np.full((1_000, 1), 1e-5)).alarms
    assert not taught.update(changing(), np.zeros((4_000, 1))).alarms
    assert taught.saved == taught.staked == 0.0
    taught.update(usual, np.zeros((1_000, 1)))
    alarm = taught.update(bad, np.full((1_000, 1), 1e-5)).alarms[0]
    assert alarm.step < 200


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 1_999), max_size=5),
    st.sampled_from(["adwin", "page-hinkley", "hddm-a"]),
)
def test_a_gate_does_not_depend_on_the_calls_or_on_stopping(cuts: list[int], opener: str) -> None:
    def made() -> ConfirmGate:
        return ConfirmGate(0.12, opened_by=opener, patience=150)

    values, grants = changing(2_000, 2), np.full((2_000, 1), 1e-4)
    undisturbed = made()
    whole = undisturbed.update(values, grants)
    gate, start, parts, steps = made(), 0, [], []
    for stop in sorted({*cuts, 2_000}):
        other = made()
        other.restore(gate.to_bytes())
        gate = other
        update = gate.update(values[start:stop], grants[start:stop])
        parts.append(update.statistic)
        steps += [(start + one.step, one.onset, one.fresh, one.statistic) for one in update.alarms]
        start = stop
    assert_array_equal(np.concatenate(parts), whole.statistic)
    assert steps == [(one.step, one.onset, one.fresh, one.statistic) for one in whole.alarms]
    assert (gate.saved, gate.staked) == (undisturbed.saved, undisturbed.staked)
    assert undisturbed.staked > 0.0
    assert gate.to_bytes() == undisturbed.to_bytes()


def test_a_gate_refuses_bad_rows_and_settings() -> None:
    gate = ConfirmGate(0.1)
    before = gate.to_bytes()
    with pytest.raises(InvalidObservationError, match="index 1"):
        gate.update(np.array([0.0, np.nan]), np.zeros((2, 1)))
    with pytest.raises(InvalidObservationError, match="index 0"):
        ConfirmGate(0.1, opened_by="ddm").update(np.array([0.5]), np.zeros((1, 1)))
    assert gate.to_bytes() == before
    wrongs: list[dict[str, Any]] = [
        {"patience": 0},
        {"opened_by": "bounded-mean"},
        {"opener": {"dleta": 0.1}},
        {"tiers": 2},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidSettingError):
            ConfirmGate(0.1, **wrong)
    with pytest.raises(CheckpointError, match="other settings"):
        ConfirmGate(0.1, opened_by="page-hinkley").restore(before)


def test_the_digest_chooses_by_e_bh() -> None:
    evalues = np.array([1.0, 4.0, 80.0, 12.0, 0.5, 25.0])
    assert discoveries(evalues, 0.1).tolist() == [2]
    assert discoveries(evalues, 0.3).tolist() == [2, 5, 3]
    assert discoveries(np.ones(3), 0.1).tolist() == []


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_the_digest_chooses_the_largest_set_that_supports_itself(
    given_values: list[float], alpha: float
) -> None:
    evalues = np.array(given_values)
    chosen = discoveries(evalues, alpha)
    n = len(evalues)
    ordered = np.sort(evalues)[::-1]
    sizes = [k for k in range(1, n + 1) if ordered[k - 1] >= n / (alpha * k)]
    assert len(chosen) == max(sizes, default=0)
    assert (np.diff(evalues[chosen]) <= 0.0).all()


def test_evidence_of_a_week_is_the_statistic_in_units_of_what_was_granted() -> None:
    values = (np.random.default_rng(3).random(50) < 0.1).astype(np.float64)
    detector = BoundedMean(0.1)
    update = detector.update(values, np.full((50, 1), 1e-4))
    assert evidence(update.statistic[-1], np.array([50 * 1e-4]))[0] == pytest.approx(
        update.statistic[-1, 0] / 0.005
    )
    with pytest.raises(InvalidObservationError):
        evidence(np.array([0.1]), np.array([0.0]))
    with pytest.raises(InsufficientDataError):
        discoveries(np.array([]), 0.1)
