"""The test that ends an alert: how often it errs, and what it makes of each kind of signal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from monitor.alerts import recovery
from monitor.alerts.recovery import ALPHA, advance, begin
from monitor.alerts.reverse_null import badness
from tests.support.alert_cases import CASES, EDGES, NUMBERS, RATE, alarm, interval, watch

TESTED = [name for name in CASES if begin(*CASES[name][:2], 1)["form"] is not None]


def fed(test: dict[str, Any], values: np.ndarray[Any, Any], pieces: int = 1) -> tuple[Any, bool]:
    # One a second.
    at = test["after_us"] + 1 + test.get("rows", 0) * 10**6 + np.arange(len(values)) * 10**6
    parts = zip(np.array_split(values, pieces), np.array_split(at, pieces), strict=True)
    for part, times in parts:
        test, recovered = advance(test, part, times)
        if recovered:
            return test, True
    return test, False


def test_every_kind_says_how_it_ends() -> None:
    for case in CASES.values():
        assert begin(*case[:2], 1)["says"].endswith(".")
    untested = set(CASES) - set(TESTED)
    assert untested == {"challenger_better", "canary_difference"}


@pytest.mark.statistical
def test_what_stays_bad_is_resolved_no_more_often_than_promised() -> None:
    rng, runs = np.random.default_rng(20261124), 600
    wrong = 0
    for _ in range(runs):
        # On the edge of the null, the hardest place: the mean is the limit itself.
        test = begin(*CASES["segment"][:2], 1)
        wrong += fed(test, (rng.random(1500) < 0.15).astype(float))[1]
    # At the promised rate, one run of this test in a million fails here.
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("segment", lambda rng: rng.random(2000) < 0.05),
        ("loss", lambda rng: rng.random(4000) < 0.05),
        ("loss_difference", lambda rng: rng.normal(-0.2, 0.3, 4000)),
        ("feature", lambda rng: rng.normal(104, 40, 2000)),
        ("output", lambda rng: np.where(rng.random(2000) < 0.2, 5, 9)),
        ("score", lambda rng: rng.normal(0.31, 0.125, 4000)),
        ("quality", lambda rng: rng.random(2000) < 0.01),
        ("metric", lambda rng: rng.random(2000) < 0.95),
        ("label.delay", lambda rng: rng.normal(151, 30, 2000)),
        ("service.latency", lambda rng: rng.random(1500) < 0.01),
        ("service.default", lambda rng: np.zeros(1000)),
        ("service.traffic", lambda rng: np.ones(200)),
    ],
)
def test_an_alert_resolves_when_the_signal_is_as_before(name: str, good: Any) -> None:
    rng = np.random.default_rng(5)
    test, recovered = fed(begin(*CASES[name][:2], 1), good(rng).astype(float))
    assert recovered, test
    assert "the" in recovery._told(test) or name == "service.traffic"


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("feature", lambda rng: rng.normal(1120, 400, 2000)),
        ("output", lambda rng: np.where(rng.random(2000) < 0.52, 5, 9)),
        ("score", lambda rng: rng.normal(0.31, 0.25, 2000)),
        ("metric", lambda rng: rng.random(2000) < 0.6),
    ],
)
def test_an_alert_stands_while_the_signal_is_as_after(name: str, bad: Any) -> None:
    rng = np.random.default_rng(6)
    assert not fed(begin(*CASES[name][:2], 1), bad(rng).astype(float))[1]


def test_a_recovery_long_after_the_alarm_is_found_too() -> None:
    rng = np.random.default_rng(7)
    bad = rng.random(3000) < 0.5
    good = rng.random(1500) < 0.03
    test, recovered = fed(begin(*CASES["segment"][:2], 1), bad.astype(float))
    assert not recovered
    assert fed(test, good.astype(float))[1]


@settings(deadline=None, max_examples=20)
@given(pieces=st.integers(1, 40), seed=st.integers(0, 50))
def test_the_outcome_does_not_depend_on_how_rows_come_in_turns(pieces: int, seed: int) -> None:
    values = (np.random.default_rng(seed).random(200) < 0.3).astype(float)
    one, _ = fed(begin(*CASES["loss"][:2], 1), values)
    other, _ = fed(begin(*CASES["loss"][:2], 1), values, pieces)
    assert (one["rows"], one["steps"]) == (other["rows"], other["steps"])
    assert one["statistic"] == pytest.approx(other["statistic"])


def test_all_alarms_of_an_alert_share_one_error_rate() -> None:
    spent = sum(begin(*CASES["loss"][:2], k)["alpha"] for k in range(1, 2000))
    assert spent <= ALPHA


@pytest.mark.parametrize("name", TESTED)
def test_badness_lies_between_0_and_1(name: str) -> None:
    form = begin(*CASES[name][:2], 1)["form"]
    if form["kind"] in ("any", "stretches"):
        return
    values = np.array([-1e9, -1.0, 0.0, 0.5, 1.0, 5.0, 9.0, 1e9])
    told = badness(form, values)
    assert ((told >= 0) & (told <= 1)).all()


DEPENDENT = (
    CASES["loss_difference"][0],
    alarm(
        "loss_difference",
        interval(0.004, -0.01, 0.018, 300),
        interval(0.29, 0.2, 0.38, 84),
        subject="2,1",
        parameters={"margin": 0.01, "clip": 1.0, "block": 1, "look_at": 1000},
        detector="paired-excess",
    ),
)
"""An alarm of a comparison that does not know yet how its differences depend on each other."""


def in_stretches(rng: np.random.Generator, rows: int) -> np.ndarray[Any, Any]:
    """Differences of a version that errs more by .2 in all, and less in stretches of 60 rows."""
    better = np.repeat(rng.random(rows // 60) < 0.3, 60)
    return np.where(better, -1.0, 1.0) * (rng.random(len(better)) < 0.5)


@pytest.mark.statistical
def test_a_version_that_errs_more_is_not_taken_for_recovered_in_a_better_stretch() -> None:
    rng, runs = np.random.default_rng(20261130), 400
    wrong = sum(fed(begin(*DEPENDENT, 1), in_stretches(rng, 1500))[1] for _ in range(runs))
    # At the promised rate, one run of this test in a million fails here.
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


def test_a_comparison_without_a_unit_recovers_when_the_versions_err_alike() -> None:
    rng = np.random.default_rng(10)
    test = begin(*DEPENDENT, 1)
    assert fed(test, rng.choice([-1.0, 0.0, 0.0, 0.5, -1.0], 5000), 40)[1]


POOL = (
    watch("loss_without_reference", "loss", "growing-pool"),
    alarm(
        "loss",
        interval(0.098, 0.077, 0.124, 600),
        interval(1.0, 0.65, 1.0, 7),
        parameters={"clip": 1.0, "centre": 0.1},
        detector="growing-pool",
    ),
)
"""The same loss, in alarm over seven rows that were all wrong."""


@pytest.mark.parametrize("order", [(CASES["loss"], POOL), (POOL, CASES["loss"])])
def test_a_second_alarm_does_not_ease_what_must_be_shown(order: Any) -> None:
    first, second = order
    test = recovery.after(second[0], second[1], begin(first[0], first[1], 1))
    assert (test["attempt"], test["line"]) == (2, 0.15)
    assert "the mean loss is below 0.15 " in test["says"]
    assert test["alpha"] == ALPHA / 6
    rng = np.random.default_rng(11)
    test, recovered = fed(test, (rng.random(3000) < 0.4).astype(float), 20)
    assert not recovered
    assert fed(test, (rng.random(9000) < 0.05).astype(float), 20)[1]


def test_an_alarm_in_the_other_direction_asks_anew() -> None:
    of, came = CASES["feature"][:2]
    fell = alarm(
        "feature.area",
        interval(104.2, 101.1, 107.3, 600),
        interval(12.0, 10.0, 14.0, 84),
        parameters=EDGES,
        change="values fell",
        **NUMBERS,
    )
    assert "is above" in recovery.after(of, fell, begin(of, came, 1))["says"]


def test_few_rows_far_out_do_not_put_the_line_out_of_reach_of_what_is_wrong() -> None:
    test = begin(*POOL, 1)
    # Half way to the least that seven rows tell, .65, and not to 1.
    assert test["line"] == pytest.approx((0.098 + 0.65) / 2)
    rng = np.random.default_rng(12)
    test, recovered = fed(test, (rng.random(3000) < 0.45).astype(float), 20)
    assert not recovered
    assert fed(test, (rng.random(3000) < 0.08).astype(float), 20)[1]


@pytest.mark.statistical
def test_errors_in_stretches_without_a_reference_are_not_taken_for_recovered_between_them() -> None:
    rng, runs = np.random.default_rng(20261201), 400
    wrong = 0
    for _ in range(runs):
        errors = np.repeat(rng.random(25) < 0.45, 60).astype(float)
        wrong += fed(begin(*POOL, 1), errors)[1]
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


AUC = (
    watch("auc", "metric.auc", "bounded-mean"),
    alarm(
        "metric.auc",
        interval(0.15, 0.13, 0.17, 600),
        interval(0.35, 0.25, 0.45, 84),
        parameters={"limit": 0.2, "clip": 1.0, "block": 1, "pairs": 4},
        **RATE,
    ),
)


def scored(rng: np.random.Generator, rows: int, gap: float) -> np.ndarray[Any, Any]:
    """Scores of which those of positives lie higher by a gap, in standard deviations."""
    positive = (rng.random(rows) < 0.2).astype(float)
    return np.column_stack([rng.normal(size=rows) + gap * positive, positive])


def test_an_alert_of_an_auc_resolves_when_positives_are_told_from_negatives_again() -> None:
    rng = np.random.default_rng(8)
    test = begin(*AUC, 1)
    assert "the AUC is above 0.8" in test["says"]
    test, recovered = fed(test, scored(rng, 6000, 0.6), 7)
    assert not recovered
    test, recovered = fed(test, scored(rng, 6000, 2.0), 60)
    assert recovered
    assert "show that the AUC is above 0.8" in recovery._told(test)
    assert ", of AUC 0." in recovery._told(test)


@pytest.mark.statistical
def test_an_alert_of_an_auc_at_its_limit_is_resolved_no_more_often_than_promised() -> None:
    rng, runs = np.random.default_rng(20261125), 200
    # An AUC of exactly .8: the gap is the normal quantile of .8 times the root of 2.
    gap = 0.8416212 * 2**0.5
    wrong = sum(fed(begin(*AUC, 1), scored(rng, 1500, gap))[1] for _ in range(runs))
    # At the promised rate, one run of this test in a million fails here.
    assert wrong <= binom.isf(1e-6, runs, ALPHA / 2)


def test_scores_that_wait_for_their_pair_are_kept_between_turns() -> None:
    rows = scored(np.random.default_rng(9), 400, 1.0)
    one, _ = fed(begin(*AUC, 1), rows)
    other, _ = fed(begin(*AUC, 1), rows, 57)
    assert one["steps"] == other["steps"] > 40
    assert one["statistic"] == pytest.approx(other["statistic"])
