"""The AUC of one class of many against the rest, by its own score."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from drift.means.auc import AucPairs
from monitor.evaluation.detector_state import Subject
from monitor.evaluation.evaluate import run_watch
from monitor.evaluation.watching import read_for
from monitor.records import Application, Registry, Version, Watch
from monitor.settings import Mode, Tier
from monitor.signals.base import Extracted, Observations
from tests.support.stretches import stretch_of

Scores = np.ndarray


def watch(signal: str = "metric.auc.2", **settings: Any) -> Watch:
    return Watch(
        1, 1, "auc", signal, "bounded-mean", Tier.PAGE, settings, "notify", Mode.OBSERVE,
        "operator", True,
    )  # fmt: skip


def rows(count: int, skill: Scores, seed: int = 5) -> tuple[np.ndarray, Scores]:
    """Labels 0 to 2, and scores that tell each class as well as its skill says."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    logits = rng.normal(size=(count, 3)) + skill * np.eye(3)[truth]
    return truth, 1 / (1 + np.exp(-logits))


def read(
    one: Watch, labels: list[Any], scores: Scores | None, task: str = "multiclass"
) -> tuple[Observations | None, dict[str, Subject]]:
    """What the watch sees of a stretch, and its subjects."""
    registry = Registry({1: Application(1, "shop", task)}, {1: Version(1, "price", "1")}, {})
    extracted: Extracted = {}
    subjects: dict[str, Subject] = {}
    outputs = [0] * len(labels)
    read_for(one, stretch_of(outputs, labels, scores), registry, extracted, subjects)
    return extracted.get((1, one.signal)), subjects


def test_its_mean_is_what_the_area_lacks_to_1() -> None:
    truth, scores = rows(9000, np.array([0.5, 1.0, 2.0]))
    for number in range(3):
        seen, _ = read(watch(f"metric.auc.{number}"), truth.tolist(), scores)
        assert seen is not None
        assert seen.dealt is not None
        shares, _ = AucPairs(2).push(seen.value, seen.dealt[:, 0])
        area = roc_auc_score(truth == number, scores[:, number])
        assert 1 - shares.mean() == pytest.approx(area, abs=0.03)


@pytest.mark.parametrize("settings", [{"learn": 400}, {"least": 0.85}])
def test_a_class_whose_score_no_longer_tells_it_alarms_alone(settings: dict[str, Any]) -> None:
    before = rows(6000, np.array([2.5, 2.5, 2.5]))
    after = rows(3000, np.array([2.5, 2.5, 0.3]), seed=6)
    truth, scores = (np.concatenate(parts) for parts in zip(before, after, strict=True))
    alarmed = {}
    for number in range(3):
        one = watch(f"metric.auc.{number}", negatives=2, **settings)
        seen, subjects = read(one, truth.tolist(), scores)
        assert seen is not None
        tested = run_watch(
            one, seen, subjects, lambda *_: None, task="multiclass", budget_per_year=1.0
        )
        alarmed[number] = [alarm.observation for alarm in tested.alarms]
        (told,) = subjects.values()
        assert told.status == "armed"
        if "learn" in settings:
            assert told.parameters["reference"].startswith("the first 400 positives that came")
        else:
            assert told.parameters["limit"] == pytest.approx(0.15)
    assert 6000 < alarmed[2][0] < 6500
    assert alarmed[0] == alarmed[1] == []


@pytest.mark.parametrize(
    ("signal", "labels", "classes", "said"),
    [
        (
            "metric.auc.3", [0, 1, 2], 3,
            "The version gives no score of a class 3: there are classes 0 to 2.",
        ),
        (
            "metric.auc.1", ["red", "blue", "red"], 3,
            "Labels say no class by the number of its score, classes 0 to 2: they are blue, red.",
        ),
        ("metric.auc.0", [0, 1, 2], 1, "The rows hold one score each, none of each class."),
        (
            "metric.auc", [0, 1, 2], 3,
            "An AUC is of one class against the rest: watch metric.auc.CLASS, with classes 0 to 2.",
        ),
    ],
)  # fmt: skip
def test_what_there_is_no_auc_of_says_what_there_is(
    signal: str, labels: list[Any], classes: int, said: str
) -> None:
    seen, subjects = read(watch(signal), labels, np.full((3, classes), 1 / classes))
    assert seen is None
    assert [(one.status, one.reason) for one in subjects.values()] == [("learning", said)]


def test_rows_without_scores_say_nothing() -> None:
    assert read(watch(), [0, 1, 2], None) == (None, {})
    # A label that is no class of the scores is left out.
    seen, _ = read(watch(), [2, 7, 1.5, "2", 0], np.full((5, 3), 1 / 3))
    assert seen is not None
    assert seen.dealt is not None
    assert seen.dealt[:, 0].tolist() == [1.0, 0.0]
