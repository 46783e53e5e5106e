"""Counts of false alarms, and what they say about the promise."""

import pytest
from suite.scenario import Count, generator, poisson_interval, verdict


def test_the_exact_interval_of_a_poisson_count() -> None:
    # F. Garwood, Biometrika 28, 1936: the printed 95 % limits of 0, 10 and 100 events.
    assert poisson_interval(0) == pytest.approx((0.0, 3.689), abs=5e-4)
    assert poisson_interval(10) == pytest.approx((4.795, 18.390), abs=5e-4)
    assert poisson_interval(100) == pytest.approx((81.364, 121.627), abs=5e-4)


def test_a_promise_is_broken_only_beyond_chance() -> None:
    assert not verdict([Count(1_000, 10.0, 12)] * 2).broken
    assert verdict([Count(1_000, 1_000.0, 1_200)] * 2).broken
    # Significant, but within the five percent that a point estimate may be off.
    assert not verdict([Count(1_000, 100_000.0, 104_000)] * 2).broken


def test_alarms_that_come_together_widen_the_interval() -> None:
    together = verdict([Count(1_000, 10.0, 40 if batch % 4 == 0 else 0) for batch in range(100)])
    apart = verdict([Count(1_000, 10.0, 10) for _ in range(100)])
    assert together.ratio == apart.ratio == 1.0
    assert together.dispersion > 25.0
    assert together.upper - together.lower > 4.0 * (apart.upper - apart.lower)


def test_no_alarm_at_all_still_has_an_upper_limit() -> None:
    none = verdict([Count(1_000, 2.0, 0)] * 2)
    assert (none.ratio, none.lower) == (0.0, 0.0)
    assert none.upper == pytest.approx(3.689 / 4.0, abs=1e-3)


def test_batches_draw_different_numbers_and_the_same_again() -> None:
    first = generator("errors", 0).random()
    assert generator("errors", 0).random() == first
    assert len({first, generator("errors", 1).random(), generator("losses", 0).random()}) == 3
