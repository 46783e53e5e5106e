"""A fault that lasts is one alarm; the next one begins after a test has shown that it is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, poisson

from monitor.evaluation.detector_state import Subject
from monitor.evaluation.evaluate import run_watch
from monitor.evaluation.faults import ALPHA, Fault
from monitor.evaluation.saved_state import from_row, to_rows
from monitor.feed.columns import ids_from
from monitor.moments import to_micros
from monitor.records import Alarm, Watch
from monitor.settings import Mode, Tier
from monitor.signals.base import LOSS, LOSS_DIFFERENCE, Observations

Floats = NDArray[np.float64]
START = to_micros(datetime(2026, 11, 2, tzinfo=UTC))
STEP = to_micros(datetime(2026, 11, 2, tzinfo=UTC) + timedelta(minutes=1)) - START
LIMIT, BUDGET = 0.2, 50.0
RATE = Watch(
    1,
    1,
    "loss",
    LOSS,
    "bounded-mean",
    Tier.PAGE,
    {"limit": LIMIT},
    "notify",
    Mode.OBSERVE,
    "x",
    True,
)
PAIRED = replace(
    RATE,
    name="paired",
    signal=LOSS_DIFFERENCE,
    detector="paired-excess",
    settings={"margin": 0.01, "block": 1},
)


def feed(watch: Watch, values: Floats, *cuts: int) -> tuple[list[Alarm], Subject]:
    """Alarms over values, one a minute, cut into turns; state is saved and read between them."""
    subjects: dict[str, Subject] = {}
    alarms: list[Alarm] = []
    for part in np.split(np.arange(len(values)), sorted(cuts)):
        if not len(part):
            continue
        seen = Observations(
            part,
            START + part * STEP,
            ids_from([UUID(int=int(n) + 1) for n in part]),
            np.zeros(len(part), np.int64),
            ("2,1" if watch.signal == LOSS_DIFFERENCE else "2",),
            values[part],
            np.ones(len(part), np.int64),
        )
        tested = run_watch(
            watch, seen, subjects, lambda *_: None, task="binary", budget_per_year=BUDGET
        )
        watch = replace(watch, clock=tested.clock)
        alarms += tested.alarms
        rows = to_rows(subjects.values())
        subjects = {one.key: one for row in rows for one in from_row(watch, row)}
    return alarms, next(iter(subjects.values()))


def errors(rng: np.random.Generator, *stretches: tuple[float, int]) -> Floats:
    return np.concatenate([(rng.random(n) < p).astype(float) for p, n in stretches])


def test_a_fault_that_lasts_is_one_alarm_said_again_until_it_is_over() -> None:
    values = errors(np.random.default_rng(1), (0.1, 500), (0.5, 1500))
    alarms, subject = feed(RATE, values)
    assert [a.repeats for a in alarms[:2]] == [False, True]
    assert len(alarms) > 10
    assert subject.alarms == 1
    assert subject.fault is not None


def test_a_fault_after_a_recovery_is_another_alarm() -> None:
    values = errors(np.random.default_rng(2), (0.1, 500), (0.5, 500), (0.05, 1500), (0.5, 500))
    alarms, subject = feed(RATE, values)
    assert subject.alarms == 2
    second = [a for a in alarms if not a.repeats][1]
    assert second.observation > 2500


def test_a_difference_of_losses_ends_by_the_same_test() -> None:
    rng = np.random.default_rng(3)
    bad, good = (
        rng.choice([-1.0, 0.0, 1.0], 600, p=[0.1, 0.4, 0.5]),
        rng.choice([-1.0, 0.0, 1.0], 3000, p=[0.3, 0.6, 0.1]),
    )
    alarms, subject = feed(PAIRED, np.concatenate([bad, good, bad]))
    assert subject.alarms == 2
    assert sum(a.repeats for a in alarms) > 4


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 2500), max_size=12), st.integers(0, 3))
def test_how_rows_come_in_turns_changes_nothing(cuts: list[int], seed: int) -> None:
    stretches = (0.1, 400), (0.45, 500), (0.05, 1200), (0.5, 400)
    values = errors(np.random.default_rng(seed), *stretches)

    def told(alarms: list[Alarm]) -> list[tuple[Any, ...]]:
        return [(a.observation, a.statistic, a.repeats) for a in alarms]

    assert told(feed(RATE, values, *cuts)[0]) == told(feed(RATE, values)[0])


def test_where_no_test_can_tell_a_fault_lasts_a_thousand_steps() -> None:
    fault = Fault.of({"floor": 0.1}, {}, scale=1.0, step=10)
    assert not fault.is_over(np.zeros(5), 1009)
    assert fault.is_over(np.zeros(1), 1010)


@pytest.mark.statistical
def test_a_fault_that_is_not_over_is_called_over_with_at_most_its_error() -> None:
    rng, runs = np.random.default_rng(20261125), 400
    over = 0
    for _ in range(runs):
        fault = Fault.of({"limit": LIMIT}, {}, scale=1.0, step=0)
        # On the edge of the null, which is its worst case.
        over += fault.is_over((rng.random(3000) < LIMIT).astype(float), 3000)
    # At a true rate of ALPHA, one run of this test in a million fails here.
    assert over <= binom.isf(1e-6, runs, ALPHA)


@pytest.mark.statistical
def test_false_alarms_are_within_the_budget_and_those_said_again_are_not_counted_twice() -> None:
    rng, counted, granted, all_of_them = np.random.default_rng(20261126), 0, 0.0, 0
    for run in range(60):
        watch = replace(RATE, name=f"loss{run}")
        alarms, subject = feed(watch, errors(rng, (LIMIT - 0.01, 3000)))
        counted += subject.alarms
        granted += subject.granted
        all_of_them += len(alarms)
    # The bound holds for all rejections, so for the first of each fault too. Alarms are no more
    # spread than Poisson's; at a true rate of what was granted one run in a million fails here.
    assert counted <= all_of_them <= poisson.isf(1e-6, granted)
