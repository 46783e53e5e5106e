"""Performance without labels: what it gets right, where it is blind, and NannyML's figures."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.estimates.base import Estimate
from drift.estimates.calibration import Calibration
from drift.estimates.cbpe import CBPE
from drift.estimates.cbpe_multiclass import MulticlassCBPE
from drift.estimates.dle import DLE
from tests.data.nannyml import data

GOLDEN: dict[str, Any] = json.loads(
    (Path(data.__file__).with_name("figures.json")).read_text(encoding="utf-8")
)
"""NannyML's own estimates; tests/data/nannyml/README.md says how they were made."""

CHUNKS = [slice(start, start + data.CHUNK) for start in range(0, data.ROWS, data.CHUNK)]
PLAIN = CBPE(Calibration.identity())


def _agrees(ours: list[dict[str, Estimate]], golden: dict[str, list[float]]) -> None:
    for metric, expected in golden.items():
        values = [estimates[metric].value for estimates in ours]
        assert values == pytest.approx(expected, rel=0.01), metric


def test_the_data_are_those_of_the_golden_numbers() -> None:
    sums = {
        "binary": data.binary(data.REFERENCE_SEED, shift=0.0).scores.sum(),
        "multiclass": data.multiclass(data.REFERENCE_SEED, shift=0.0).scores[:, 0].sum(),
        "regression": data.regression(data.REFERENCE_SEED, shift=0.0).labels.sum(),
    }
    assert sums == pytest.approx(GOLDEN["sums"], rel=1e-9)


@pytest.mark.parametrize("case", data.SHIFTS)
def test_cbpe_agrees_with_nannyml(case: str) -> None:
    reference = data.binary(data.REFERENCE_SEED, shift=0.0)
    current = data.binary(data.CURRENT_SEED, shift=data.SHIFTS[case])
    estimator = CBPE.fit(reference.scores, reference.labels)
    _agrees(
        [estimator.estimate(current.scores[c], current.predicted[c]) for c in CHUNKS],
        GOLDEN["binary"][case],
    )


@pytest.mark.parametrize("case", data.SHIFTS)
def test_cbpe_of_several_classes_agrees_with_nannyml(case: str) -> None:
    reference = data.multiclass(data.REFERENCE_SEED, shift=0.0)
    current = data.multiclass(data.CURRENT_SEED, shift=data.SHIFTS[case])
    estimator = MulticlassCBPE.fit(reference.scores, reference.labels)
    _agrees(
        [estimator.estimate(current.scores[c], current.predicted[c]) for c in CHUNKS],
        GOLDEN["multiclass"][case],
    )


@pytest.mark.parametrize("metric", ["mae", "mse"])
def test_dle_agrees_with_nannyml(metric: str) -> None:
    reference = data.regression(data.REFERENCE_SEED, shift=0.0)
    gaps = np.abs(reference.labels - reference.predicted)
    estimator = DLE(categorical=[2])
    estimator.fit(
        reference.features,
        reference.predicted,
        gaps if metric == "mae" else gaps**2,
        np.random.default_rng(1),
    )
    for case, shift in data.SHIFTS.items():
        current = data.regression(data.CURRENT_SEED, shift=shift)
        values = [
            estimator.estimate(current.features[c], current.predicted[c]).value for c in CHUNKS
        ]
        assert values == pytest.approx(GOLDEN["regression"][case][metric], rel=0.01)
        if metric == "mse":
            roots = [math.sqrt(value) for value in values if value is not None]
            assert roots == pytest.approx(GOLDEN["regression"][case]["rmse"], rel=0.01)


# Against the labels themselves


@pytest.mark.statistical
def test_cbpe_meets_the_labels_under_covariate_shift_within_its_standard_error() -> None:
    reference = data.binary(data.REFERENCE_SEED, shift=0.0)
    current = data.binary(data.CURRENT_SEED, shift=0.35)
    estimates = CBPE.fit(reference.scores, reference.labels).estimate(
        current.scores, current.predicted
    )
    right, label = current.predicted == current.labels, current.labels == 1.0
    found = current.predicted == 1.0
    realised = {
        "accuracy": right.mean(),
        "precision": label[found].mean(),
        "recall": found[label].mean(),
    }
    for metric, value in realised.items():
        estimate = estimates[metric]
        assert estimate.value is not None
        assert estimate.standard_error is not None
        # Calibration errs about as much again as sampling; at 5.5 joint standard errors each of
        # three would fail once in 26 million seeds, and this seed is fixed.
        assert abs(estimate.value - value) <= 5.5 * math.sqrt(2.0) * estimate.standard_error


@pytest.mark.statistical
def test_the_standard_error_is_the_scatter_of_drawn_labels() -> None:
    rng = np.random.default_rng(20261103)
    scores = rng.random(400)
    predicted = (scores > 0.4).astype(np.float64)
    estimates = PLAIN.estimate(scores, predicted)
    runs = 2_000
    drawn: dict[str, list[float]] = {name: [] for name in estimates}
    for _ in range(runs):
        labels = (rng.random(400) < scores).astype(np.float64)
        for name, estimate in PLAIN.from_probabilities(scores, labels, predicted).items():
            assert estimate.value is not None
            drawn[name].append(estimate.value)
    for name, estimate in estimates.items():
        assert estimate.standard_error is not None
        # The sample deviation of 2,000 draws errs by 1.6 %, the delta method by about 1 %: five
        # times the first and twice the second fails once in a million seeds.
        assert np.std(drawn[name]) == pytest.approx(estimate.standard_error, rel=0.1)


def test_cbpe_is_silent_about_concept_drift_and_says_so() -> None:
    reference = data.binary(data.REFERENCE_SEED, shift=0.0)
    estimator = CBPE.fit(reference.scores, reference.labels)
    # The same inputs, every label turned round: no estimate without labels can notice.
    accuracy = estimator.estimate(reference.scores, reference.predicted)["accuracy"].value
    assert accuracy is not None
    assert accuracy > 0.75 > (reference.predicted == 1.0 - reference.labels).mean()
    assert not estimator.guaranteed
    assert "concept drift" in estimator.assumption
    assert not Estimate("accuracy", accuracy, None, 1).guaranteed


def test_calibration_is_learnt_where_scores_lie_and_left_alone_where_they_do_not() -> None:
    reference = data.binary(data.REFERENCE_SEED, shift=0.0)
    assert CBPE.fit(reference.scores, reference.labels).calibration.scores
    # A score that is exactly the share of positives in its group of a hundred.
    scores = np.repeat(np.arange(1, 10) / 10, 100)
    labels = np.concatenate([(np.arange(100) % 10 < k).astype(float) for k in range(1, 10)])
    assert Calibration.where_it_helps(scores, labels) == Calibration.identity()


# Laws


probabilities = hnp.arrays(np.float64, st.integers(2, 50), elements=st.floats(0.0, 1.0))


@settings(max_examples=50, deadline=None)
@given(probabilities, st.randoms())
def test_certain_scores_give_the_confusion_matrix_of_the_labels(
    scores: NDArray[np.float64], random: Any
) -> None:
    labels = np.round(scores)
    predicted = np.array([float(random.random() < 0.5) for _ in labels])
    matrix = PLAIN.confusion_matrix(labels, predicted)
    assert matrix.true_positives == ((labels == 1) & (predicted == 1)).sum()
    assert matrix.false_negatives == ((labels == 1) & (predicted == 0)).sum()
    assert PLAIN.estimate(labels, predicted)["accuracy"].value == (labels == predicted).mean()


@settings(max_examples=50, deadline=None)
@given(probabilities)
def test_the_area_depends_on_the_order_of_scores_only(scores: NDArray[np.float64]) -> None:
    chance = np.linspace(0.2, 0.7, len(scores))
    predicted = np.ones(len(scores))
    places = np.unique(scores, return_inverse=True)[1] / len(scores)
    one = PLAIN.from_probabilities(scores, chance, predicted)["roc_auc"].value
    assert one == pytest.approx(
        PLAIN.from_probabilities(places, chance, predicted)["roc_auc"].value
    )
    reverse = PLAIN.from_probabilities(1.0 - places, chance, predicted)["roc_auc"].value
    assert one is not None
    assert reverse == pytest.approx(1.0 - one)


@settings(max_examples=50, deadline=None)
@given(probabilities)
def test_a_calibration_never_falls_and_stays_in_its_range(scores: NDArray[np.float64]) -> None:
    labels = (np.arange(len(scores)) % 3 == 0).astype(np.float64)
    curve = Calibration.isotonic(scores, labels)
    mapped = curve(np.linspace(0.0, 1.0, 101))
    assert (np.diff(mapped) >= 0.0).all()
    assert ((mapped >= 0.0) & (mapped <= 1.0)).all()
    assert curve(scores).mean() == pytest.approx(labels.mean())


# Bad input


def test_a_metric_that_does_not_exist_is_none_and_not_a_number() -> None:
    quiet = PLAIN.estimate(np.full(5, 0.3), np.zeros(5))
    assert quiet["precision"].value is None
    assert quiet["recall"].value == 0.0
    certain = PLAIN.estimate(np.zeros(5), np.zeros(5))
    assert (certain["roc_auc"].value, certain["f1"].value) == (None, None)
    assert certain["accuracy"].value == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused(bad: float) -> None:
    scores = np.full(200, 0.5)
    scores[11] = bad
    labels = np.tile([0.0, 1.0], 100)
    with pytest.raises(InvalidObservationError, match="scores at index 11"):
        CBPE.fit(scores, labels)
    with pytest.raises(InvalidObservationError, match="scores at index 11"):
        PLAIN.estimate(scores, labels)


def test_what_does_not_fit_is_refused() -> None:
    scores, labels = np.full(200, 0.5), np.tile([0.0, 1.0], 100)
    with pytest.raises(InsufficientDataError, match="3 given"):
        CBPE.fit(scores[:3], labels[:3])
    with pytest.raises(InsufficientDataError):
        PLAIN.estimate(np.array([]), np.array([]))
    with pytest.raises(InvalidObservationError, match="shape"):
        PLAIN.estimate(scores, labels[:5])
    with pytest.raises(InvalidObservationError, match="0 or 1"):
        CBPE.fit(scores, np.full(200, np.nan))
    assert CBPE.fit(scores, np.ones(200)).calibration == Calibration.identity()
    table, classes = np.full((200, 3), 1 / 3), np.arange(200) % 3
    fitted = MulticlassCBPE.fit(table, classes)
    with pytest.raises(InvalidObservationError, match="3 classes"):
        fitted.estimate(table[:, :2], classes % 2)
    with pytest.raises(InvalidObservationError, match="a class below 3"):
        fitted.estimate(table, classes + 1)
    with pytest.raises(InvalidObservationError, match="numbers in"):
        fitted.estimate(np.full((3, 3), np.nan), classes[:3])
    with pytest.raises(InsufficientDataError):
        MulticlassCBPE.fit(table[:3], classes[:3])


def test_dle_refuses_what_it_cannot_learn_from() -> None:
    rng = np.random.default_rng(2)
    features, predicted, losses = rng.random((200, 2)), rng.random(200), rng.random(200)
    model = DLE()
    with pytest.raises(InsufficientDataError, match="reference"):
        model.estimate(features, predicted)
    with pytest.raises(InsufficientDataError, match="3 given"):
        model.fit(features[:3], predicted[:3], losses[:3], rng)
    with pytest.raises(InvalidObservationError, match="at least 0"):
        model.fit(features, predicted, losses - 0.5, rng)
    with pytest.raises(InvalidObservationError, match="infinity"):
        model.fit(features * np.inf, predicted, losses, rng)
    with pytest.raises(InvalidSettingError, match="categorical"):
        DLE(categorical=[2]).fit(features, predicted, losses, rng)
    model.fit(np.where(features < 0.1, np.nan, features), predicted, losses, rng)
    with pytest.raises(InvalidObservationError, match="2 columns"):
        model.estimate(features[:, :1], predicted)
    with pytest.raises(InsufficientDataError):
        model.estimate(features[:0], predicted[:0])
    assert (model.row_losses(features, predicted) >= 0.0).all()
