"""Traces and intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evidence import TRACE_POINTS, Sums, Trace


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_a_trace_depends_on_the_steps_and_not_on_their_split(parts: list[int]) -> None:
    n = sum(parts)
    values = np.arange(n) % 7 / 8  # Eighths: sums are exact in any order.
    statistic = np.linspace(0, 1, n)
    whole = Trace().extended(1, list(range(n)), statistic, values)
    split, at = Trace(), 0
    for size in parts:
        cut = slice(at, at + size)
        split = split.extended(at + 1, list(range(n))[cut], statistic[cut], values[cut])
        at += size
    assert split == whole
    assert len(whole.points) <= TRACE_POINTS
    assert Trace.from_bytes(whole.to_bytes()) == whole
    kept = {"stride": whole.stride, "points": [list(one) for one in whole.points]}
    rest = {"open_sum": whole.open_sum, "open_n": whole.open_n}
    assert Trace.from_json(kept | rest) == whole, "as an earlier release kept it"
    assert sum(p[4] for p in whole.points) + whole.open_n == n


def test_the_interval_of_rare_errors_is_wilsons() -> None:
    told = Sums.of(np.array([1.0] + [0.0] * 9)).interval()
    # Brown, Cai, DasGupta 2001, by hand for 1 of 10 at 95 %.
    assert (round(told["low"], 4), round(told["high"], 4)) == (0.0179, 0.4042)
    assert told["method"] == "Wilson"


def test_a_stretch_without_an_error_has_an_interval_that_is_wide_where_rows_are_few() -> None:
    widths = []
    for n in (1, 20, 2000):
        none, all_ = Sums.of(np.zeros(n)).interval(), Sums.of(np.ones(n)).interval()
        assert none["low"] == pytest.approx(0.0, abs=1e-12)
        assert all_["high"] == pytest.approx(1.0)
        # z^2 / (n + z^2): what Wilson leaves where no value differs.
        expected = 1.959964**2 / (n + 1.959964**2)
        assert none["high"] == pytest.approx(expected, rel=1e-5)
        assert all_["low"] == pytest.approx(1 - expected, rel=1e-5)
        widths.append(none["high"])
    assert widths[0] > 0.75
    assert widths[1] > 0.16


@given(st.integers(1, 500), st.floats(0.01, 1e4).filter(lambda value: value != 1))
def test_values_that_are_all_the_same_have_no_interval_and_never_one_of_no_width(
    n: int, value: float
) -> None:
    told = Sums.of(np.full(n, value)).interval()
    assert (told["low"], told["high"]) == (None, None)


def test_a_difference_of_losses_may_be_below_nothing() -> None:
    # None of eleven rows differs: the mean may be as far below 0 as above it.
    told = Sums.of(np.zeros(11)).interval(signed=True)
    assert told["low"] == -told["high"]
    assert round(told["high"], 3) == 0.259
    # Ones and zeros alone do not make a difference a share.
    values = np.array([1.0] * 2 + [0.0] * 18)
    told = Sums.of(values).interval(signed=True)
    assert told["low"] < 0 < told["high"]
    assert told["method"] == "Student"
