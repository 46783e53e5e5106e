"""The test that ends an alert about a service, whose bad requests come in bursts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from monitor.alerts import recovery
from monitor.alerts.recovery import ALPHA, advance, begin
from tests.support.alert_cases import CASES, alarm, interval, watch

Floats = NDArray[np.float64]
SECOND = 10**6


def begun(limit: float) -> dict[str, Any]:
    came = alarm(
        "service.error",
        interval(0.0, 0.0, 0.006, 600),
        interval(0.36, 0.27, 0.47, 84),
        parameters={"limit": limit, "clip": 1.0, "block": 1},
        detector="bounded-mean",
    )
    return begin(watch("service", "service.*", "bounded-mean"), came, 1)


def at_rate(test: dict[str, Any], rows: int, rate: float, since: float = 0.0) -> Any:
    """Times of requests, evenly spread, from so many seconds after the alarm."""
    first = test["after_us"] + 1 + int(since * SECOND)
    return first + (np.arange(rows) / rate * SECOND).astype(np.int64)


def in_bursts(
    rng: np.random.Generator, seconds: float, rate: float, burst: float, lull: float
) -> Floats:
    """Requests of which all fail in bursts, and none in the lulls between them."""
    edges = np.cumsum(
        rng.exponential(np.tile([burst, lull], int(4 * seconds / (burst + lull)) + 20))
    )
    place = np.searchsorted(edges, np.arange(int(seconds * rate)) / rate)
    failed: Floats = (place % 2 == 0).astype(np.float64)
    return failed


@pytest.mark.statistical
@pytest.mark.parametrize(("burst", "lull"), [(5, 40), (20, 60), (1, 30)])
def test_a_lull_between_two_bursts_is_not_taken_for_the_end(burst: float, lull: float) -> None:
    rng, runs = np.random.default_rng(20261202), 200
    wrong = 0
    for _ in range(runs):
        test = begun(0.02)
        failed = in_bursts(rng, 7200, 5, burst, lull)
        wrong += advance(test, failed, at_rate(test, len(failed), 5))[1]
    # At the promised rate, one run of this test in a million fails here.
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


@pytest.mark.statistical
@pytest.mark.parametrize(("limit", "rate"), [(0.02, 0.3), (0.05, 1), (0.05, 7)])
def test_independent_requests_that_fail_as_often_as_the_limit_are_not_recovered(
    limit: float, rate: float
) -> None:
    rng, runs = np.random.default_rng(20261203), 300
    wrong, rows = 0, round(200 * max(60 * rate, 2 / limit))
    for _ in range(runs):
        test = begun(limit)
        failed = (rng.random(rows) < limit).astype(np.float64)
        wrong += advance(test, failed, at_rate(test, rows, rate))[1]
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


def recovers_after(limit: float, rate: float, outage_s: float, share: float) -> float | None:
    """Minutes from the end of an outage to its alert's; none where three hours are too few."""
    rng, test = np.random.default_rng(4), begun(limit)
    rows = int(outage_s * rate)
    failed = (rng.random(rows) < 0.36).astype(np.float64)
    test, early = advance(test, failed, at_rate(test, rows, rate))
    assert not early
    step = max(1, round(10 * rate))
    for place in range(int(10_800 * rate) // step):
        good = (rng.random(step) < share).astype(np.float64)
        begun_s = outage_s + place * step / rate
        test, over = advance(test, good, at_rate(test, step, rate, begun_s))
        if over:
            return (place + 1) * step / rate / 60
    return None


@pytest.mark.parametrize("outage_s", [60, 6 * 3600])
@pytest.mark.parametrize(
    ("limit", "rate", "minutes"),
    [(0.05, 1, 17), (0.05, 10, 17), (0.05, 100, 17), (0.02, 1, 27), (0.02, 10, 17)],
)
def test_the_end_of_an_outage_is_seen_within_minutes_however_long_it_was(
    limit: float, rate: float, minutes: float, outage_s: float
) -> None:
    took = recovers_after(limit, rate, outage_s if rate < 100 else outage_s / 6, 0.0)
    assert took is not None
    assert 12 <= took <= minutes


def test_a_service_that_fails_a_little_as_before_recovers_too() -> None:
    took = recovers_after(0.05, 1, 600, 0.0125)
    assert took is not None
    assert took <= 40


def test_another_alarm_that_asks_the_same_leaves_the_test_as_it_is() -> None:
    of, came = CASES["service.latency"][:2]
    test = begin(of, came, 1)
    test, _ = advance(test, np.ones(100), at_rate(test, 100, 1))
    assert recovery.after(of, came, test) == test
    assert recovery.begin_again(test, came.alarmed_at) == test


@settings(deadline=None, max_examples=20)
@given(pieces=st.integers(1, 60), seed=st.integers(0, 50))
def test_how_requests_come_in_turns_changes_nothing(pieces: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    failed = np.repeat(rng.random(40) < 0.3, 50).astype(np.float64)
    one = two = begun(0.05)
    at = at_rate(one, len(failed), 2)
    one, _ = advance(one, failed, at)
    for values, times in zip(
        np.array_split(failed, pieces), np.array_split(at, pieces), strict=True
    ):
        two, _ = advance(two, values, times)
    names = ("rows", "steps", "rest", "granted", "good", "state")
    assert [one[name] for name in names] == [two[name] for name in names]


def test_what_is_said_of_the_end_is_about_the_good_requests_alone() -> None:
    test = begun(0.05)
    test, _ = advance(test, np.ones(600), at_rate(test, 600, 1))
    test, over = advance(test, np.zeros(1200), at_rate(test, 1200, 1, 600))
    assert over
    told = recovery._told(test)
    assert (
        "each show that the share of failed requests is below 5 %; over all of them it is 0 %"
        in told
    )


def traffic(seconds: list[float]) -> bool:
    """Whether requests at these moments after the alarm end an alert about silence."""
    test = begin(*CASES["service.traffic"][:2], 1)
    over = False
    for one in seconds:
        at = np.array([test["after_us"] + 1 + int(one * SECOND)])
        test, over = advance(test, np.zeros((1, 3)), at)
    return over


def test_a_stray_request_does_not_end_an_alert_about_silence() -> None:
    # 120 seconds make a silence.
    assert not traffic([10.0])
    assert not traffic([10.0, 140.0, 300.0, 500.0])
    assert not traffic([10.0, 11.0, 12.0, 60.0])
    assert traffic([10.0, 60.0, 100.0, 135.0])
    assert traffic([10.0, 500.0, 560.0, 621.0])
