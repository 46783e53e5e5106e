"""Traces and intervals."""

import numpy as np
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
    assert Trace.from_json(whole.to_json()) == whole
    assert sum(p[4] for p in whole.points) + whole.open_n == n


def test_the_interval_of_rare_errors_is_wilsons() -> None:
    told = Sums.of(np.array([1.0] + [0.0] * 9)).interval()
    # Brown, Cai, DasGupta 2001, by hand for 1 of 10 at 95 %.
    assert (round(told["low"], 4), round(told["high"], 4)) == (0.0179, 0.4042)
    assert told["method"] == "Wilson"
