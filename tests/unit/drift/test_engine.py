"""The recursion by hand, merging, and its limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from drift.engine import Engine
from drift.errors import InvalidObservationError, InvalidSettingError
from drift.means.bounded import BoundedMean
from drift.streams import Streams


def engine(**changes: object) -> Engine:
    settings: dict[str, object] = {
        "stakes": 1,
        "tiers": 1,
        "head_start": 0.0,
        "smallest": 0.5,
        "largest": 5.5,
    }
    return Engine(**(settings | changes))  # type: ignore[arg-type]  # also built wrongly on purpose


def test_four_steps_by_hand() -> None:
    values = np.array([1.0, 1.0, 0.0, 1.0])
    factors = (1.0 + 5.0 * (values - 0.1))[None, :]
    update = engine().advance(4, lambda start, stop: factors[:, start:stop], np.full((4, 1), 1e-3))
    assert_allclose(update.statistic[:, 0], [0.0055, 0.03575, 0.018375, 0.1065625], rtol=1e-12)


def test_a_merged_batch_is_the_product_of_its_factors() -> None:
    rng = np.random.default_rng(3)
    first, second = np.log(rng.uniform(0.5, 1.5, (2, 8, 30))).sum(axis=2)
    grants = np.array([[0.02, 0.3]])
    one, other = (engine(stakes=8, tiers=2, head_start=0.1) for _ in range(2))
    merged = one.merge(60, first + second, grants)
    swapped = other.merge(60, second + first, grants)
    expected = (np.exp(first + second) * (0.1 + grants.T)).mean(axis=1)
    assert_allclose(merged.statistic[0], expected, rtol=1e-12)
    assert_allclose(swapped.statistic, merged.statistic, rtol=0)
    assert one.steps == 60


def test_rows_before_and_after_a_merge_count_in_full() -> None:
    factors = np.full((1, 10), 1.1)
    grants = np.full((10, 1), 1e-3)
    mixed, rows = engine(), engine()
    mixed.advance(10, lambda start, stop: factors[:, start:stop], grants)
    mixed.merge(1, np.log([1.1]), np.array([[1e-3]]))
    mixed.advance(10, lambda start, stop: factors[:, start:stop], grants)
    for _ in range(2):
        rows.advance(10, lambda start, stop: factors[:, start:stop], grants)
    rows.advance(1, lambda start, stop: factors[:, start:stop], grants[:1])
    assert_allclose(mixed.wealth, rows.wealth, rtol=1e-12)


def test_an_overwhelming_merged_batch_alarms_and_restarts() -> None:
    it = engine()
    update = it.merge(1_000, np.array([5_000.0]), np.array([[1e-3]]))
    assert np.isfinite(update.statistic).all()
    assert [alarm.onset for alarm in update.alarms] == [999]
    assert it.wealth.tolist() == [[0.0]]


def test_many_streams_at_once_equal_one_after_another() -> None:
    rng = np.random.default_rng(9)
    values = (rng.random((500, 40)) < 0.2).astype(np.float64)
    detectors = [BoundedMean(0.1, head_start=0.05) for _ in range(40)]
    stakes = detectors[0].stakes[:, None]
    grants = np.full((500, 1), 1e-3)
    expected = [d.update(values[:, i], grants) for i, d in enumerate(detectors)]
    streams = Streams(40, stakes=8, head_start=0.05)
    alarms = 0
    for tick in range(500):
        if tick == 250:
            saved, streams = streams.to_bytes(), Streams(40, stakes=8)
            streams.restore(saved)
        statistic, alarm = streams.step(1.0 + stakes * (values[tick] - 0.1), grants[tick])
        assert_allclose(statistic[0], [e.statistic[tick, 0] for e in expected], rtol=1e-9)
        alarms += int(alarm.sum())
    assert alarms == sum(len(e.alarms) for e in expected) > 0


def test_many_streams_refuse_bad_rows() -> None:
    streams = Streams(3, stakes=2)
    grants = np.array([0.1])
    for factors in (np.ones((2, 4)), np.full((2, 3), np.nan), np.full((2, 3), -1.0)):
        with pytest.raises(InvalidObservationError):
            streams.step(factors, grants)
    with pytest.raises(InvalidObservationError):
        streams.step(np.ones((2, 3)), np.array([np.nan]))


@pytest.mark.parametrize(
    "changes",
    [
        {"stakes": 0},
        {"tiers": 0},
        {"tiers": True},
        {"head_start": 1.0},
        {"head_start": -0.1},
        {"head_start": [0.1, 0.1]},
        {"head_start": float("nan")},
        {"largest": 1e290},
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidSettingError):
        engine(**changes)
