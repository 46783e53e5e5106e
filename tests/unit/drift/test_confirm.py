"""The confirm gate spends what was granted, and the digest bounds its share of false ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from drift.digest import discoveries, evidence
from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.means.bounded import BoundedMean
from drift.streaming.confirm import ConfirmGate


def changing(n: int = 4_000, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(n) < np.where(np.arange(n) < n // 2, 0.1, 0.4)).astype(np.float64)


def test_a_suspicion_that_fresh_rows_confirm_is_an_alarm() -> None:
    gate = ConfirmGate(0.12, alpha=0.01)
    update = gate.update(changing(), np.full((4_000, 1), 1e-5))
    alarm = update.alarms[0]
    assert 2_000 < alarm.step - alarm.onset < alarm.step < 2_400
    assert update.statistic[alarm.step, 0] == alarm.statistic >= 1.0
    assert (update.statistic[: alarm.step - alarm.onset + 1] == 0.0).all()
    assert gate.saved == pytest.approx(0.04 - 0.01 * round((0.04 - gate.saved) / 0.01))


def test_without_grants_there_is_no_trial() -> None:
    gate = ConfirmGate(0.12, alpha=0.01)
    assert not gate.update(changing(), np.zeros((4_000, 1))).alarms
    assert gate.saved == 0.0


def test_trials_never_cost_more_than_was_granted() -> None:
    # EDDM suspects all the time.
    gate = ConfirmGate(0.5, trigger="eddm", alpha=0.01, patience=20)
    values, grants = changing(), np.full((4_000, 1), 1e-5)
    for start in range(0, 4_000, 250):
        gate.update(values[start : start + 250], grants[start : start + 250])
        assert gate.saved >= -1e-12
    assert gate.saved < 0.04


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 1_999), max_size=5))
def test_a_gate_does_not_depend_on_the_calls_or_on_stopping(cuts: list[int]) -> None:
    values, grants = changing(2_000, 2), np.full((2_000, 1), 1e-4)
    undisturbed = ConfirmGate(0.12)
    whole = undisturbed.update(values, grants)
    gate, start, parts, steps = ConfirmGate(0.12), 0, [], []
    for stop in sorted({*cuts, 2_000}):
        other = ConfirmGate(0.12)
        other.restore(gate.to_bytes())
        gate = other
        update = gate.update(values[start:stop], grants[start:stop])
        parts.append(update.statistic)
        steps += [(start + alarm.step, alarm.onset) for alarm in update.alarms]
        start = stop
    assert_array_equal(np.concatenate(parts), whole.statistic)
    assert steps == [(alarm.step, alarm.onset) for alarm in whole.alarms]
    assert steps
    assert gate.saved == undisturbed.saved


def test_a_gate_refuses_bad_rows_and_settings() -> None:
    gate = ConfirmGate(0.1)
    before = gate.to_bytes()
    with pytest.raises(InvalidObservationError, match="index 1"):
        gate.update(np.array([0.0, np.nan]), np.zeros((2, 1)))
    with pytest.raises(InvalidObservationError, match="index 0"):
        ConfirmGate(0.1, trigger="ddm").update(np.array([0.5]), np.zeros((1, 1)))
    assert gate.to_bytes() == before
    wrongs: list[dict[str, Any]] = [
        {"alpha": 0.0},
        {"patience": 0},
        {"trigger": "none"},
        {"tiers": 2},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidSettingError):
            ConfirmGate(0.1, **wrong)


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
