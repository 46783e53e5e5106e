"""Metrics as means of values a row, against scikit-learn's."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn import metrics as oracle

from monitor.signals.metrics import metrics, quantile_loss
from tests.support.stretches import stretch_of

Values = dict[str, np.ndarray]


def table(
    task: str, outputs: Sequence[object], labels: Sequence[object], scores: np.ndarray | None
) -> Values:
    stretch = stretch_of(outputs, labels, scores)
    names, values = metrics(stretch, task, stretch.labelled.answer, stretch.labelled.label)
    return dict(zip(names, values.T, strict=True))


def mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def f1(values: np.ndarray) -> float:
    share = mean(values)
    return 2 * share / (1 + share)


def test_two_classes() -> None:
    rng = np.random.default_rng(1)
    truth, likely = rng.integers(0, 2, 500), rng.random(500)
    said = (likely > 0.5).astype(int)
    found = table("binary", said.tolist(), truth.tolist(), np.column_stack([1 - likely, likely]))
    assert mean(found["error"]) == pytest.approx(1 - oracle.accuracy_score(truth, said))
    assert mean(found["log_loss"]) == pytest.approx(oracle.log_loss(truth, likely))
    assert mean(found["brier"]) == pytest.approx(oracle.brier_score_loss(truth, likely))
    assert mean(found["calibration"]) == pytest.approx(truth.mean() - likely.mean())
    assert mean(found["precision"]) == pytest.approx(oracle.precision_score(truth, said))
    assert mean(found["recall"]) == pytest.approx(oracle.recall_score(truth, said))
    assert f1(found["f1"]) == pytest.approx(oracle.f1_score(truth, said))


def test_many_classes_one_by_one() -> None:
    rng = np.random.default_rng(2)
    truth, scores = rng.integers(0, 4, 800), rng.dirichlet(np.ones(4), 800)
    said = scores.argmax(axis=1)
    found = table("multiclass", said.tolist(), truth.tolist(), scores)
    assert mean(found["log_loss"]) == pytest.approx(oracle.log_loss(truth, scores))
    whole = np.square(scores - np.eye(4)[truth]).sum(axis=1).mean()
    assert mean(found["brier"]) == pytest.approx(whole)
    sure = scores.max(axis=1).mean()
    assert mean(found["calibration"]) == pytest.approx((said == truth).mean() - sure)
    for one, (precision, recall, harmonic) in enumerate(
        zip(
            oracle.precision_score(truth, said, average=None),
            oracle.recall_score(truth, said, average=None),
            oracle.f1_score(truth, said, average=None),
            strict=True,
        )
    ):
        assert mean(found[f"precision.{one}"]) == pytest.approx(precision)
        assert mean(found[f"recall.{one}"]) == pytest.approx(recall)
        assert f1(found[f"f1.{one}"]) == pytest.approx(harmonic)
        share = (truth == one).mean() - scores[:, one].mean()
        assert mean(found[f"calibration.{one}"]) == pytest.approx(share)


def test_classes_by_name_have_no_score_of_their_own() -> None:
    found = table("multiclass", ["a", "b", "c"] * 9, ["a", "b", "b"] * 9, np.full((27, 3), 1 / 3))
    assert "log_loss" not in found
    assert mean(found["recall.b"]) == pytest.approx(0.5)
    assert mean(found["calibration"]) == pytest.approx(2 / 3 - 1 / 3)


def test_numbers() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=300)
    said = truth + rng.normal(0.5, 1, size=300)
    found = table("regression", said.tolist(), truth.tolist(), None)
    assert mean(found["absolute"]) == pytest.approx(oracle.mean_absolute_error(truth, said))
    assert mean(found["squared"]) == pytest.approx(oracle.mean_squared_error(truth, said))
    pinball = oracle.mean_pinball_loss(truth, said, alpha=0.9)
    assert mean(found["quantile"]) == pytest.approx(pinball)
    for quantile in (0.05, 0.5, 0.95):
        pinball = oracle.mean_pinball_loss(truth, said, alpha=quantile)
        assert mean(quantile_loss(said - truth, quantile)) == pytest.approx(pinball)
    assert mean(found["bias"]) == pytest.approx((said - truth).mean())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_labels_and_outputs_of_any_kind_say_nothing_and_break_nothing(task: str) -> None:
    odd: list[object] = [None, True, "x", [1], {"a": 1}, 1e308, -0.0, 7, "1", ""]
    with np.errstate(over="ignore"):
        found = table(task, odd, odd[::-1], None)
    assert {len(values) for values in found.values()} == {10}
