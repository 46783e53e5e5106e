"""Linear models of scikit-learn give the same answers without scikit-learn's checks."""

from typing import Any

import numpy as np
import pandas
import pytest
from sklearn import linear_model
from sklearn.base import BaseEstimator

from serving.replica.frameworks import linear
from serving.replica.frameworks.sklearn import SklearnModel

NAMES = ("a", "b", "c", "d", "e")
RANDOM = np.random.default_rng(20261130)
ROWS = RANDOM.normal(size=(300, len(NAMES)))
TWO = (ROWS.sum(axis=1) > 0).astype(int)
SEVERAL = np.digitize(ROWS[:, 0], [-0.5, 0.5])
NUMBERS = ROWS @ np.arange(1.0, 6.0) + 3.0

DIRECT: dict[str, tuple[Any, Any]] = {
    "two classes": (linear_model.LogisticRegression(), TWO),
    "two classes by gradient": (linear_model.SGDClassifier(loss="log_loss"), TWO),
    "no start": (linear_model.LogisticRegression(fit_intercept=False), TWO),
    "several classes": (linear_model.LogisticRegression(), SEVERAL),
    "numbers": (linear_model.Ridge(), NUMBERS),
    "several numbers": (linear_model.LinearRegression(), np.column_stack([NUMBERS, -NUMBERS])),
}
OTHERS: dict[str, tuple[Any, Any]] = {
    "classes without scores": (linear_model.RidgeClassifier(), TWO),
    "powers": (linear_model.PoissonRegressor(), np.exp(NUMBERS / 10)),
    "each class against the others": (linear_model.SGDClassifier(loss="log_loss"), SEVERAL),
}


def asked_itself(model: SklearnModel, rows: Any) -> Any:
    estimator = model._estimator
    return estimator.predict(rows) if model.classes is None else estimator.predict_proba(rows)


def answered(model: SklearnModel, rows: Any) -> Any:
    answers = model.predict(rows)
    return answers.outputs if model.classes is None else answers.scores


@pytest.mark.parametrize("kind", [*DIRECT, *OTHERS])
def test_the_answers_are_the_estimators_in_every_bit(kind: str) -> None:
    estimator, labels = (DIRECT | OTHERS)[kind]
    model = SklearnModel(estimator.fit(ROWS, labels), NAMES)
    assert (model._direct is not None) == (kind in DIRECT)
    for rows in (ROWS[:1], ROWS[:7], ROWS, 1e300 * ROWS[:3]):
        with np.errstate(over="ignore", invalid="ignore"):
            found, expected = answered(model, rows), asked_itself(model, rows)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", list(DIRECT))
def test_a_model_of_data_frames_gets_none_and_finds_its_columns(kind: str) -> None:
    estimator, labels = DIRECT[kind]
    model = SklearnModel(estimator.fit(pandas.DataFrame(ROWS, columns=NAMES), labels), NAMES[::-1])
    assert model._direct is not None
    for rows in (ROWS[:1], ROWS):
        expected = asked_itself(model, pandas.DataFrame(rows, columns=NAMES))
        np.testing.assert_array_equal(answered(model, rows[:, ::-1].copy()), expected)


def test_a_row_that_is_not_finite_is_refused_in_the_models_words() -> None:
    model = SklearnModel(linear_model.LogisticRegression().fit(ROWS, TWO), NAMES)
    for value in (np.nan, np.inf):
        rows = ROWS[:3].copy()
        rows[1, 2] = value
        with pytest.raises(ValueError, match="Input X contains"):
            model.predict(rows)


def test_who_makes_a_class_of_a_linear_one_is_asked() -> None:
    class Doubled(linear_model.Ridge):  # type: ignore[misc]  # scikit-learn has no types
        def predict(self, X: Any) -> Any:  # noqa: N803  (scikit-learn's name)
            return 2 * super().predict(X)

    assert linear.direct(Doubled().fit(ROWS, NUMBERS), lambda rows: rows, None) is None


def test_an_answer_that_differs_in_one_bit_is_not_given() -> None:
    ridge: BaseEstimator = linear_model.Ridge().fit(ROWS, NUMBERS)

    def nearly(rows: Any) -> Any:
        return np.nextafter(ridge.predict(rows), np.inf)

    assert linear.direct(ridge, ridge.predict, None) is not None
    assert linear.direct(ridge, nearly, None) is None
