"""What the charts of the console are made of: stretches, intervals, distances, the order."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.evidence import Sums
from monitor.views.distributions import compare, compare_all, ks_distance, stretch
from monitor.views.fleet import Standing, order
from monitor.views.series import HOUR_S, MINUTE_S, intervals, step_for

START = datetime(2026, 11, 2, tzinfo=UTC)


@given(st.floats(1, 400 * 86_400), st.integers(10, 2_000), st.integers(1, 60))
def test_a_plot_is_read_from_few_sums_and_has_few_points(
    seconds: float, points: int, finest: int
) -> None:
    end = START + timedelta(seconds=seconds)
    step = step_for(START, end, points, finest)
    assert seconds / step <= points + 1
    source = next(one for one in (HOUR_S, MINUTE_S, finest) if step % one == 0)
    most = {HOUR_S: 400 * 24, MINUTE_S: 24 * 60, finest: 2 * 3600}[source]
    assert seconds / source <= most + 1


def test_intervals_are_those_of_wilson_and_of_student() -> None:
    low, high = intervals(
        np.array([20, 3]), np.array([4.0, 6.0]), np.array([4.0, 14.0])
    )  # four of twenty; 1, 2 and 3
    wilson = stats.binomtest(4, 20).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((wilson.low, wilson.high))
    student = stats.t.interval(0.95, 2, loc=2.0, scale=1 / np.sqrt(3))
    assert (low[1], high[1]) == pytest.approx(student)


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_band_of_a_line_is_never_without_width(errors: int, n: int) -> None:
    total = np.array([float(min(errors, n))])
    low, high = intervals(np.array([n]), total, total)
    assert 0 <= low[0] < high[0] <= 1
    assert high[0] - low[0] >= 0.95 * 3.84 / (n + 3.84)
    # Minutes that were all the same tell nothing of others.
    low, high = intervals(np.array([n]), np.array([n * 0.3]), np.array([n * 0.09]))
    assert np.isnan([low[0], high[0]]).all()


samples = st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=50)


@given(samples, samples)
def test_the_distance_of_numbers_is_scipys(a: list[float], b: list[float]) -> None:
    expected = stats.ks_2samp(a, b, method="asymp").statistic
    assert ks_distance(np.array(a), np.array(b)) == pytest.approx(expected)


def test_a_sample_without_values_has_no_distance_and_missing_ones_are_counted() -> None:
    told = compare("x", [1.0, None, float("nan"), 2.0], [])
    assert told.distance is None
    assert told.missing_now == 0.5
    words = compare("x", ["a", "a", "b", "b"], ["a", "a", "a", "b"])
    assert words.kind == "category"
    assert words.distance == pytest.approx(0.25)


def test_the_feature_that_moved_furthest_comes_first_and_scores_last() -> None:
    now = {"still": [1.0, 2.0], "moved": [9.0, 9.5], " score": [0.4, 0.6]}

    class Then:
        features = ("still", "moved")
        inputs = ([1.0, 2.0], [2.0, 1.0])
        labels = outputs = None

    told = compare_all(now, Then(), [0.4, 0.6])  # type: ignore[arg-type]  # what is read of it
    assert [one.name.strip() for one in told] == ["moved", "still", "score"]
    assert told[2].distance == 0.0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 400))
def test_as_many_hours_are_read_as_hold_the_rows(counts: list[int], rows: int) -> None:
    hours = [(START - timedelta(hours=k), n) for k, n in enumerate(counts)]
    start, end = stretch(hours, rows)
    held = sum(n for at, n in hours if start <= at < end)
    assert held >= min(rows, sum(counts))
    assert held - counts[hours.index((start, dict(hours)[start]))] < rows


def standing(name: str, state: str, tier: str | None = None) -> Standing:
    return Standing(
        name, "binary", state, tier, "m:1", None, None, (), Sums(), None, {tier: 1} if tier else {}
    )


def test_what_only_informs_comes_after_everything_that_people_were_called_for() -> None:
    given_ones = [
        standing("well", "ok"),
        standing("noticed", "firing", "info"),
        standing("in hand", "acknowledged", "page"),
        standing("learning", "learning"),
        standing("paged", "firing", "page"),
        standing("rolled", "firing", "rollback"),
    ]
    assert [one.name for one in order(given_ones)] == [
        "rolled", "paged", "in hand", "noticed", "learning", "well",
    ]  # fmt: skip
