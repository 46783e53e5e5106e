"""Differences of two versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from drift.canary.paired import PairedExcess, PairedPromotion
from drift.canary.randomised import RandomisedExcess, differences
from drift.errors import InvalidObservationError, InvalidSettingError

unit = st.floats(0.0, 1.0)
shares = st.floats(0.01, 0.99)


@given(unit, unit, shares, unit)
def test_the_randomised_difference_is_unbiased_whatever_the_forecast(
    champion: float, challenger: float, share: float, forecast: float
) -> None:
    rows = np.array([[challenger, 1.0, share, forecast], [champion, 0.0, share, forecast]])
    difference, lowest, highest = differences(rows)
    expected = share * difference[0] + (1.0 - share) * difference[1]
    assert_allclose(expected, challenger - champion, atol=1e-9)
    assert (lowest - 1e-9 <= difference).all()
    assert (difference <= highest + 1e-9).all()


def test_equal_versions_leave_the_evidence_shrinking() -> None:
    detector = PairedExcess(0.01, head_start=0.01)
    update = detector.update(np.zeros(1_000), np.zeros((1_000, 1)))
    assert (np.diff(update.statistic[:, 0]) < 0.0).all()
    assert not update.alarms


def test_promotion_spends_its_alpha_once_and_takes_no_grants() -> None:
    detector = PairedPromotion(0.02, 0.05)
    values, grants = np.full(2_000, -0.2), np.full((2_000, 1), 0.1)
    update = detector.update(values, grants)
    assert len(update.alarms) == 1
    assert update.statistic[-1, 0] == 0.0
    plain = PairedPromotion(0.02, 0.05).update(values, np.zeros_like(grants))
    assert plain.alarms == update.alarms


@pytest.mark.parametrize(
    "row", [[1.5, 1.0, 0.5], [0.5, 0.5, 0.5], [0.5, 1.0, 0.01], [0.5, 1.0, 0.99]]
)
def test_a_row_that_cannot_be_is_refused(row: list[float]) -> None:
    with pytest.raises(InvalidObservationError, match="at index 0"):
        RandomisedExcess(0.01, floor=0.05).update(np.array([row]), np.zeros((1, 1)))


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidObservationError, match="shape"):
        RandomisedExcess(0.01, floor=0.05).update(np.zeros(4), np.zeros((4, 1)))


@pytest.mark.parametrize("margin", [-1.0, 1.0, float("nan")])
def test_a_margin_beyond_any_difference_is_refused(margin: float) -> None:
    with pytest.raises(InvalidSettingError):
        PairedExcess(margin)
    with pytest.raises(InvalidSettingError):
        RandomisedExcess(margin, floor=0.1)
    with pytest.raises(InvalidSettingError):
        PairedPromotion(margin)


@pytest.mark.parametrize("floor", [0.0, 0.6, -0.1])
def test_a_floor_that_leaves_no_chance_is_refused(floor: float) -> None:
    with pytest.raises(InvalidSettingError):
        RandomisedExcess(0.01, floor=floor)
