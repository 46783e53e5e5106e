"""What scikit-learn asks of arrays, and what it is told."""

import numpy as np
import pandas
import pytest
from sklearn.linear_model import LogisticRegression

from serving.replica.frameworks import plain_arrays

ROWS = np.random.default_rng(20261125).normal(size=(200, 3))
LABELS = (ROWS.sum(axis=1) > 0).astype(int)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """Classes of what narwhals is asked about once arrays are spared."""
    dependencies = pytest.importorskip(plain_arrays.MODULE)
    seen: list[type] = []
    for name in plain_arrays.QUESTIONS:
        ask = getattr(dependencies, name)
        # Without the trace of an earlier sparing, which would make this one do nothing.
        ask = getattr(ask, "__wrapped__", ask)

        def noting(value: object, ask: object = ask) -> bool:
            seen.append(type(value))
            assert callable(ask)
            return bool(ask(value))

        monkeypatch.setattr(dependencies, name, noting)
    plain_arrays.spare()
    return seen


def test_nobody_is_asked_whether_an_array_is_a_data_frame(asked: list[type]) -> None:
    model = LogisticRegression().fit(ROWS, LABELS)
    scores = model.predict_proba(ROWS)
    assert np.ndarray not in asked
    assert scores.shape == (200, 2)


def test_a_data_frame_is_still_known_by_its_columns(asked: list[type]) -> None:
    table = pandas.DataFrame(ROWS, columns=["a", "b", "c"])
    model = LogisticRegression().fit(table, LABELS)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert pandas.DataFrame in asked
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table.rename(columns={"a": "z"}))


def test_a_class_made_of_an_array_is_asked_about(asked: list[type]) -> None:
    class Mine(np.ndarray):
        pass

    LogisticRegression().fit(ROWS, LABELS).predict_proba(ROWS.view(Mine))
    assert Mine in asked
