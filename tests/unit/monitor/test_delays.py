"""Delays of labels are compared in the order of their predictions."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from monitor.evaluation.delays import AGE, EVERY, MOST_WAITING
from monitor.evaluation.detector_state import Subject
from monitor.evaluation.evaluate import run_watch
from monitor.feed.columns import ids_from
from monitor.moments import YEAR_US
from monitor.records import Alarm, Watch
from monitor.settings import Mode, Tier
from monitor.signals.base import DELAY, Observations

HOUR = 3_600_000_000
WATCH = Watch(
    1, 1, "label_delay", DELAY, "ranks", Tier.INFO, {"block": "recommended"}, "notify",
    Mode.OBSERVE, "default", True,
)  # fmt: skip


def labels(made: np.ndarray, delay: np.ndarray) -> Observations:
    """Labels in the order in which they came.

    Parameters
    ----------
    made, delay : shape (n,)
        Hours.
    """
    made = (made * HOUR).astype(np.int64)
    at = made + (delay * HOUR).astype(np.int64)
    order = np.argsort(at, kind="stable")
    ids = ids_from([UUID(int=(7 << 76) | int(one) * 2_654_435_761) for one in order])
    count = len(order)
    return Observations(
        np.arange(count), at[order], ids, np.zeros(count, np.int64), ("1",),
        ((at - made) / 1e6)[order], np.ones(count, np.int64),
    )  # fmt: skip


def fed(seen: Observations, size: int | None = None) -> tuple[list[Alarm], Subject, float]:
    """Feed a watch in turns of so many labels; what the alarms, the subject and the grants are."""
    subjects: dict[str, Subject] = {}
    watch, alarms = WATCH, []
    for start in range(0, len(seen), size or len(seen)):
        part = seen.take(np.arange(start, min(start + (size or len(seen)), len(seen))))
        tested = run_watch(
            watch,
            part,
            subjects,
            lambda *_: None,
            task="binary",
            budget_per_year=1.0,
            time_scale=YEAR_US / HOUR / 1000,
            now_us=int(part.at.max()),
        )
        alarms += tested.alarms
        watch = replace(watch, clock=tested.clock)
        for subject in subjects.values():
            subject.watch = watch
    (subject,) = subjects.values()
    return alarms, subject, subject.granted


def traffic(hours: float, an_hour: int, mean: float, seed: int = 1) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    made = np.sort(rng.random(round(hours * an_hour)) * hours)
    return made, mean * rng.gamma(4.0, 0.25, len(made))


@pytest.mark.parametrize(("an_hour", "mean"), [(100, 0.5), (1000, 2.0), (3000, 4.0)])
def test_neither_the_beginning_nor_the_end_of_a_version_is_a_change(
    an_hour: int, mean: float
) -> None:
    made, delay = traffic(60, an_hour, mean)
    # In the middle the traffic falls to a tenth for some hours.
    kept = ~((made > 30) & (made < 36) & (np.arange(len(made)) % 10 > 0))
    alarms, subject, _ = fed(labels(made[kept], delay[kept]))
    assert subject.status == "armed"
    assert alarms == []
    assert mean < subject.parameters[AGE] / HOUR < 8 * mean
    assert len(subject.waiting) < 2 * MOST_WAITING


@pytest.mark.parametrize("an_hour", [100, 3000])
def test_a_change_is_dated_by_the_predictions_whose_labels_come_later(an_hour: int) -> None:
    made, delay = traffic(80, an_hour, 1.0)
    delay[made > 50] *= 2
    alarms, _, _ = fed(labels(made, delay))
    first = alarms[0]
    assert first.evidence["change"] == "values rose"
    assert first.onset_at is not None
    assert first.onset_at.timestamp() / 3600 == pytest.approx(50, abs=1)
    # Known once predictions are old enough, and a few hundred at most have been seen.
    age = first.evidence["parameters"][AGE] / HOUR
    assert age < first.alarmed_at.timestamp() / 3600 - 50 < age + 3


def test_delays_beyond_what_is_waited_for_are_seen_when_the_labels_come() -> None:
    made, delay = traffic(60, 300, 0.5)
    delay[made > 40] += 12
    alarms, subject, _ = fed(labels(made, delay))
    assert alarms[0].alarmed_at.timestamp() / 3600 == pytest.approx(52, abs=1)
    assert subject.parameters[AGE] < 12 * HOUR


def test_any_split_into_turns_gives_the_same_and_spends_no_more_than_was_granted() -> None:
    made, delay = traffic(50, 2000, 2.0)
    delay[made > 40] *= 2
    seen = labels(made, delay)
    whole, one, spent = fed(seen)
    parts, other, also = fed(seen, 997)
    assert [alarm.prediction_id for alarm in whole] == [alarm.prediction_id for alarm in parts]
    assert whole
    assert one.parameters[EVERY] == other.parameters[EVERY] > 1
    assert spent == pytest.approx(also)
    # A thousand hours are a year here.
    assert 0.5 * 30 / 1000 < spent <= 52 / 1000 + 0.01
