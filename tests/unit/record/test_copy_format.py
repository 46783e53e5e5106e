"""Laws of the encoding: what is written can be read, row by row."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from serving.copy_format import (
    MAX_INT4,
    FeedbackRecord,
    PredictionRecord,
    decode_feedback,
    decode_predictions,
    encode_prediction,
    split_rows,
)
from tests.support.records import NOW_US, encoded, feedback_rows, plain_prediction, prediction_rows


@given(st.lists(prediction_rows(), max_size=5))
def test_predictions_are_read_as_they_were_written(records: list[PredictionRecord]) -> None:
    assert list(decode_predictions(b"".join(map(encoded, records)))) == records


@given(st.lists(feedback_rows(), max_size=5))
def test_feedback_is_read_as_it_was_written(records: list[FeedbackRecord]) -> None:
    assert list(decode_feedback(b"".join(map(encoded, records)))) == records


@given(st.lists(prediction_rows(), max_size=5))
def test_rows_are_taken_apart_where_they_were_put_together(records: list[PredictionRecord]) -> None:
    rows = [encoded(record) for record in records]
    assert [row for row, _ in split_rows(b"".join(rows))] == rows


TEXTS = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from('\x00\\"u0d8'))


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
@example({"a": "\x00", "b": "\\u0000", "c": "\\\x00", "d": "\\\\u0000"})
def test_a_context_loses_only_characters_that_postgres_cannot_hold(context: dict[str, str]) -> None:
    expected = {
        key.replace("\x00", "\ufffd"): text.replace("\x00", "\ufffd")
        for key, text in context.items()
    }
    row = encoded(plain_prediction(context=json.dumps(context).encode()))
    (record,) = decode_predictions(row)
    assert record.context is not None
    assert json.loads(record.context) == expected


def test_a_lone_surrogate_in_a_context_becomes_a_character() -> None:
    (record,) = decode_predictions(encoded(plain_prediction(context=b'{"a":"x\\ud800y"}')))
    assert record.context == b'{"a":"x?y"}'


def test_a_latency_past_the_column_is_told_as_its_most() -> None:
    row = encode_prediction(NOW_US, bytes(16), 1, 1, 1, 0, None, 2**40, 1.0, b"", None, None, None)
    assert next(decode_predictions(row)).latency_us == MAX_INT4
