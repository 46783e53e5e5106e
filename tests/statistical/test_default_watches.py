"""False alarms of the watches that nobody configured, on streams in which nothing changes."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from scipy.stats import poisson

from monitor.evaluation.detector_state import Subject
from monitor.evaluation.evaluate import run_watch
from monitor.feed.columns import ids_from
from monitor.moments import YEAR_US
from monitor.records import Watch
from monitor.settings import Mode
from monitor.signals.base import DELAY, FEATURES, OUTPUT, QUALITY, SERVICE, Observations
from monitor.watches.watch import DEFAULT_WATCHES

ROWS, RUNS, COLUMNS = 4_000, 12, 8
BUDGET = 1.0
"""False alarms a year for the whole watch; the rows of one run take two years."""

VALUES = {
    FEATURES: lambda rng, shape: rng.standard_t(3, size=shape),
    QUALITY: lambda rng, shape: (rng.random(shape) < 0.01).astype(float),
    SERVICE: lambda rng, shape: (rng.random(shape) < 0.015).astype(float),
    DELAY: lambda rng, shape: rng.lognormal(3, 2, size=shape[0]),
    OUTPUT: lambda rng, shape: rng.integers(0, 5, size=shape[0]).astype(float),
}


def observations(signal: str, rng: np.random.Generator) -> Observations:
    """One run of a signal; families have several columns."""
    shape = (ROWS, COLUMNS)
    value = np.asarray(VALUES[signal](rng, shape))
    columns = () if value.ndim == 1 else tuple(f"x{n}" for n in range(COLUMNS))
    if signal == SERVICE:
        value, columns = value[:, :3], ("latency", "default", "error")
    every = np.arange(ROWS)
    return Observations(
        every,
        every * (2 * YEAR_US // ROWS),
        ids_from([UUID(int=1)] * ROWS),
        np.zeros(ROWS, np.int64),
        ("1",),
        value,
        np.ones(ROWS, np.int64),
        columns,
    )


def watch_of(signal: str) -> Watch:
    form = next(form for form in DEFAULT_WATCHES if form.signal == signal)
    return Watch(
        1,
        1,
        form.name,
        form.signal,
        form.detector,
        form.tier,
        form.settings,
        "notify",
        Mode.OBSERVE,
        "default",
        True,
    )


@pytest.mark.statistical
@pytest.mark.parametrize("signal", sorted(VALUES))
def test_default_watches_keep_their_promise_where_nothing_changes(signal: str) -> None:
    rng = np.random.default_rng(20261124)
    alarms, granted = 0, 0.0
    for run in range(RUNS):
        subjects: dict[str, Subject] = {}
        # Another name is another seed of the draws.
        watch = replace(watch_of(signal), name=f"{signal}{run}")
        tested = run_watch(
            watch,
            observations(signal, rng),
            subjects,
            lambda *_: None,
            task="multiclass",
            budget_per_year=BUDGET,
            now_us=2 * YEAR_US,
        )
        alarms += len(tested.alarms)
        granted += sum(subject.granted for subject in subjects.values())
    # Heads of new subjects apart, no more is granted than the budget; at that rate, one run of
    # this test in a million fails here.
    assert 0.0 < granted <= RUNS * (2 * BUDGET + COLUMNS * 0.01)
    assert alarms <= poisson.isf(1e-6, granted)
