"""River's detectors behind the common interface, and the catalog."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from river import drift as river_drift

from drift import catalog
from drift.checkpoint import pack
from drift.errors import CheckpointError, InvalidObservationError, InvalidSettingError
from drift.streaming.river_adapter import NAMES, Streaming

GRANTS = np.zeros((6_000, 2))


def changing_errors(n: int = 6_000) -> np.ndarray:
    rng = np.random.default_rng(1)
    rates = np.where(np.arange(n) < n // 2, 0.1, 0.5)
    return (rng.random(n) < rates).astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_restoring_rivers_state_equals_never_having_stopped(name: str) -> None:
    # KSWIN takes half a millisecond a row.
    rows = 1_200 if name == "kswin" else 6_000
    cut = rows // 2 - 100
    values, grants = changing_errors(rows), GRANTS[:rows]
    whole, first, second = Streaming(name), Streaming(name), Streaming(name)
    expected = whole.update(values, grants)
    before = first.update(values[:cut], grants[:cut])
    second.restore(first.to_bytes())
    after = second.update(values[cut:], grants[cut:])
    received = np.concatenate([before.statistic, after.statistic])
    assert_array_equal(received, expected.statistic)
    assert received.shape == (rows, 2)
    assert len(before.alarms) + len(after.alarms) == len(expected.alarms)
    assert second.steps == rows


def test_adwin_alarms_where_river_does_and_its_window_holds_the_onset() -> None:
    values = changing_errors()
    theirs: Any = river_drift.ADWIN
    theirs = theirs()
    expected = []
    for step, value in enumerate(values):
        theirs.update(value)
        if theirs.drift_detected:
            expected.append(step)
    update = Streaming("adwin").update(values, GRANTS)
    assert [alarm.step for alarm in update.alarms] == expected
    first = update.alarms[0]
    assert 3_000 < first.step < 3_200
    assert first.step - 3_000 < first.onset <= first.step
    assert update.statistic[first.step, 0] == first.statistic
    assert not Streaming.guaranteed


@pytest.mark.parametrize("name", ["fhddm", "ddm", "hddm-a"])
def test_detectors_of_errors_alarm_when_errors_rise(name: str) -> None:
    rng = np.random.default_rng(1)
    values = (rng.random(6_000) < np.where(np.arange(6_000) < 3_000, 0.05, 0.6)).astype(float)
    alarms = Streaming(name).update(values, GRANTS).alarms
    assert any(3_000 <= alarm.step < 3_400 for alarm in alarms)


@pytest.mark.parametrize(
    ("name", "bad"), [("adwin", np.nan), ("ddm", 0.5), ("hddm-w", 2.0), ("kswin", np.inf)]
)
def test_a_bad_value_changes_nothing(name: str, bad: float) -> None:
    detector = Streaming(name)
    detector.update(changing_errors()[:100], GRANTS[:100])
    before = detector.to_bytes()
    with pytest.raises(InvalidObservationError, match="at index 1"):
        detector.update(np.array([0.0, bad]), GRANTS[:2])
    assert detector.to_bytes() == before


def test_unknown_names_and_parameters_are_refused() -> None:
    with pytest.raises(InvalidSettingError, match="one of adwin"):
        Streaming("adwim")
    with pytest.raises(InvalidSettingError, match="adwin"):
        Streaming("adwin", detla=0.1)


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_a_state_that_would_run_code_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    detector = Streaming("adwin")
    body = np.frombuffer(pickle.dumps(_Harmful()), dtype=np.uint8)
    counts = np.zeros(2, dtype=np.int64)
    state = pack("streaming", detector.settings, [counts, np.zeros(1), body])
    with pytest.raises(CheckpointError, match="print"):
        detector.restore(state)
    assert capsys.readouterr().out == ""


SETTINGS: dict[str, dict[str, object]] = {
    "bounded-mean": {"limit": 0.1},
    "growing-pool": {"centre": 0.1},
    "paired-excess": {"margin": 0.01},
    "paired-promotion": {"eps": 0.02, "alpha": 0.05},
    "randomised-excess": {"margin": 0.01, "floor": 0.05},
    "numeric-ranks": {"edges": [-1.0, 0.0, 1.0]},
    "categorical-ranks": {"shares": [0.5, 0.4, 0.1]},
    "tolerant-ranks": {"quantiles": [0.0, 1.0, 2.0], "limits": [0.6, 0.6, 0.6, 0.6]},
    "confirm-gate": {"limit": 0.1},
    "signed-mean": {"limit": 0.0},
    "two-sided-mean": {"least": -0.02, "most": 0.02},
    "sampled-mean": {"limit": 0.1, "floor": 0.02},
    "stratified-mean": {"limits": [0.1, 0.3]},
    "randomised-promotion": {"eps": 0.02, "floor": 0.05},
    "learned-score": {"columns": 2},
}


@pytest.mark.parametrize("name", catalog.NAMES)
def test_every_name_builds_a_detector_that_says_what_it_assumes(name: str) -> None:
    detector = catalog.create(name, SETTINGS.get(name, {}))
    assert detector.steps == 0
    assert detector.assumption
    assert detector.guaranteed == (name not in NAMES)


def test_the_catalog_names_what_it_does_not_know() -> None:
    with pytest.raises(InvalidSettingError, match="bounded-mean"):
        catalog.create("bounded", {})
    with pytest.raises(InvalidSettingError, match="limt"):
        catalog.create("bounded-mean", {"limt": 0.1})
