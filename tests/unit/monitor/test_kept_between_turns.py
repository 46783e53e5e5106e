"""What a monitor keeps of a watch between turns is all that it needs to go on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.evaluation.detector_state import Subject, key_of
from monitor.evaluation.saved_state import from_row, to_rows
from monitor.evaluation.watching import feed_watch, read_for
from monitor.records import Json, Watch
from monitor.replay.file import read_file
from monitor.signals import extract
from monitor.signals.base import observed
from monitor.signals.custom import asks
from monitor.watches.entries import ReplaySettings, watches_of
from tests.support.past_rows import Columns, made_rows, write

OWN = "tests.support.own_metrics"
SESSIONS: Json = {"unit": "context.session", "gap": 40, "learn": 150}
ROLLBACK: Json = {"tier": "rollback", "remedy": "roll_back"}
GATE: Json = {"detector": "confirm-gate"}


def rows_that_worsen() -> Columns:
    rows = made_rows(5000)
    rows["context.session"] = [f"s{row // 10}" for row in range(5000)]
    for row in range(3500, 5000):
        rows["label"][row] = 1 - rows["output"][row]
    return rows


def fed(path: Path, given: Json, *, size: int, kept: bool) -> tuple[list[tuple[int, str]], Subject]:
    """Alarms of one watch, and its subject in the end; `kept` saves and loads it at every turn."""
    read = read_file(path, task="binary", reference_rows=0)
    wish = ReplaySettings.model_validate({"watches": [{"name": "mine"} | given]})
    (watch,) = watches_of(wish, next(iter(read.registry.applications)))
    profiles = {version: known.profile for version, known in read.known.items()}
    subjects: dict[str, Subject] = {}
    alarms = []
    for stretch in read.stretches(size, []):
        extracted = extract(stretch, read.registry, profiles)
        if asks(watch):
            read_for(watch, stretch, read.registry, extracted, subjects)
        seen = observed(extracted, watch.application_id, watch.signal)
        if seen is not None and len(seen):
            tested = feed_watch(
                watch,
                seen,
                subjects,
                stretch=stretch,
                registry=read.registry,
                known=read.known,
                budget_per_year=1.0,
                time_scale=1.0,
            )
            watch = replace(watch, clock=tested.clock)
            alarms += [(one.observation, str(one.prediction_id)) for one in tested.alarms]
        if kept:
            subjects = loaded(watch, subjects)
    (subject,) = subjects.values()
    return alarms, subject


def loaded(watch: Watch, subjects: dict[str, Subject]) -> dict[str, Subject]:
    again = [one for row in to_rows(subjects.values()) for one in from_row(watch, row)]
    return {key_of(watch, one.signal, one.subject): one for one in again}


@pytest.mark.parametrize(
    "watch",
    [
        {"settings": SESSIONS},
        {"signal": "metric.auc", "settings": {"negatives": 1, "learn": 400}},
        {"signal": "metric.cost", "settings": {"metric": f"{OWN}:cost", "clip": 10}},
        ROLLBACK | {"settings": {"limit": 0.15, "block": 10, "mature_after": 3600}},
        ROLLBACK | {"settings": {"limit": 0.15, "block": 10}},
        GATE | {"settings": {"opened_by": "adwin", "patience": 100}},
        GATE | {"settings": {"opened_by": "page-hinkley"} | SESSIONS},
    ],
    ids=["units", "auc", "own metric", "maturing", "delays", "gate", "gate of units"],
)
def test_a_watch_that_is_saved_at_every_turn_concludes_the_same(
    tmp_path: Path, watch: Json
) -> None:
    path = write(rows_that_worsen(), tmp_path / "rows.parquet")
    whole, one = fed(path, watch, size=100_000, kept=False)
    cut, other = fed(path, watch, size=171, kept=True)
    assert whole
    assert whole == cut
    assert (one.status, one.observations) == (other.status, other.observations)
    assert np.isclose(one.granted, other.granted)
    assert np.isclose(one.statistic, other.statistic)


@pytest.mark.parametrize("kept", [False, True])
def test_a_metric_that_failed_at_first_is_watched_by_units_once_it_gives_values(
    tmp_path: Path, kept: bool
) -> None:
    rows = made_rows(5000)
    rows["context.session"] = [f"s{row // 10}" for row in range(5000)]
    rows["label"][3] = 9
    path = write(rows, tmp_path / "rows.parquet")
    settings = SESSIONS | {"metric": f"{OWN}:fails_on_nines", "clip": 1}
    watch = {"signal": "metric.mine", "settings": settings}
    _alarms, subject = fed(path, watch, size=500, kept=kept)
    assert subject.status == "armed"
    assert subject.reason is None
    assert subject.parameters["unit"] == "mean of the rows of one session"
