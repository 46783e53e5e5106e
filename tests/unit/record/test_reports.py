"""What counts as a report of a label."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.ids import new_prediction_id, text_of
from serving.reports import FUTURE_US, ReportError, check_label, read_report, same_label
from tests.support.records import NOW_US

GOOD = text_of(new_prediction_id(NOW_US - 5_000_000))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["prediction_id", "label", "observed_at", "x"]), JSON_VALUES)
)
def test_whatever_comes_is_a_report_or_says_why_not(item: dict[str, Any]) -> None:
    for one in (item, {**item, "prediction_id": GOOD}, list(item)):
        try:
            report = read_report(one, NOW_US)
        except ReportError:
            continue
        assert json.loads(report.label_text) == report.label


@given(st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, width=64))
def test_a_label_is_kept_to_the_last_bit(label: Any) -> None:
    if isinstance(label, float) and abs(label) == float("inf"):
        return
    report = read_report({"prediction_id": GOOD, "label": label}, NOW_US)
    back = json.loads(report.label_text)
    assert same_label(back, label)
    assert type(back) is type(label)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (None, "invalid_report"),
        ([], "invalid_report"),
        ({"label": 1}, "missing_field"),
        ({"prediction_id": GOOD}, "missing_field"),
        ({"prediction_id": GOOD, "label": 1, "lable": 2}, "unknown_field"),
        ({"prediction_id": 17, "label": 1}, "invalid_prediction_id"),
        ({"prediction_id": "garbage", "label": 1}, "invalid_prediction_id"),
        ({"prediction_id": str(uuid.uuid4()), "label": 1}, "invalid_prediction_id"),
        ({"prediction_id": "{" + GOOD + "}", "label": 1}, "invalid_prediction_id"),
        (
            {
                "prediction_id": text_of(new_prediction_id(NOW_US + FUTURE_US + 1_000_000)),
                "label": 1,
            },
            "prediction_in_future",
        ),
        ({"prediction_id": GOOD, "label": None}, "invalid_label"),
        ({"prediction_id": GOOD, "label": [1]}, "invalid_label"),
        ({"prediction_id": GOOD, "label": {"a": 1}}, "invalid_label"),
        ({"prediction_id": GOOD, "label": float("nan")}, "invalid_label"),
        ({"prediction_id": GOOD, "label": 10**400}, "invalid_label"),
        ({"prediction_id": GOOD, "label": "x" * 1001}, "invalid_label"),
        ({"prediction_id": GOOD, "label": "a\x00b"}, "invalid_label"),
        ({"prediction_id": GOOD, "label": "\ud800"}, "invalid_label"),
        ({"prediction_id": GOOD, "label": 1, "observed_at": 5}, "invalid_observed_at"),
        ({"prediction_id": GOOD, "label": 1, "observed_at": "soon"}, "invalid_observed_at"),
        (
            {"prediction_id": GOOD, "label": 1, "observed_at": "2026-11-20T10:00:00"},
            "invalid_observed_at",
        ),
        (
            {"prediction_id": GOOD, "label": 1, "observed_at": "2031-01-01T00:00:00Z"},
            "invalid_observed_at",
        ),
        (
            {"prediction_id": GOOD, "label": 1, "observed_at": "0001-01-01T00:00:00+14:00"},
            None,
        ),
    ],
)
def test_a_wrong_report_is_told_by_a_stable_code(item: object, code: str | None) -> None:
    if code is None:
        read_report(item, NOW_US)
        return
    with pytest.raises(ReportError) as caught:
        read_report(item, NOW_US)
    assert caught.value.code == code


def test_a_moment_may_stand_in_any_offset() -> None:
    texts = ("2026-11-20T10:00:00.5Z", "2026-11-20t12:00:00.5+02:00")
    moments = {
        read_report({"prediction_id": GOOD, "label": 1, "observed_at": t}, NOW_US).observed_at_us
        for t in texts
    }
    assert moments == {1_795_168_800_500_000}


def test_a_regression_takes_numbers_alone() -> None:
    for label in (1, -2.5):
        check_label(label, "regression")
    for other in (True, "1"):
        with pytest.raises(ReportError, match="number"):
            check_label(other, "regression")
        check_label(other, "multiclass")


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert not same_label(True, 1)
    assert same_label(1, 1.0)
    assert not same_label("1", 1)
