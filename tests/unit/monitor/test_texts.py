"""Columns of texts."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.feed.texts import Texts
from monitor.store.copy_rows import Layout

texts = st.lists(st.binary(max_size=100).filter(lambda one: not one.endswith(b"\0")), max_size=20)
numbers = st.lists(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(2**60), 2**60),
        st.booleans(),
        st.none(),
        st.text(max_size=5),
    ),
    max_size=20,
)


@given(texts)
def test_distinct_texts_are_told_apart_and_an_empty_one_is_none(given_texts: list[bytes]) -> None:
    known, code = Texts.of(given_texts).distinct()
    back = [known[place] if place >= 0 else b"" for place in code.tolist()]
    assert back == given_texts
    assert len(set(known)) == len(known)


@given(numbers)
def test_numbers_are_those_of_json_and_everything_else_is_none(values: list[object]) -> None:
    found = Texts.of(json.dumps(value).encode() for value in values).numbers()
    for value, number in zip(values, found.tolist(), strict=True):
        if isinstance(value, bool | int | float):
            assert number == float(value)
        else:
            assert math.isnan(number)


@given(texts, texts)
def test_columns_put_together_hold_the_same_texts(one: list[bytes], other: list[bytes]) -> None:
    both = Texts.joined([Texts.of(one), Texts.of(other)])
    assert [both.at(row) for row in range(len(both))] == one + other


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.binary(max_size=30)), max_size=10))
def test_rows_of_a_binary_copy_are_taken_apart(rows: list[tuple[int, bytes]]) -> None:
    data = b"\0" * 19
    for number, text in rows:
        data += (3).to_bytes(2) + (4).to_bytes(4) + len(text).to_bytes(4)
        data += (8).to_bytes(4) + number.to_bytes(8, signed=True) + len(text).to_bytes(4) + text
    (found,), (column,) = Layout((">i8",), texts=1).split(data + b"\xff\xff")
    assert found.tolist() == [number for number, _ in rows]
    assert [column.at(row) for row in range(len(column))] == [text for _, text in rows]


def test_blocks_are_read_as_the_floats_they_are() -> None:
    block = np.array([[1.5, -2.0], [np.nan, 4.0]])
    column = Texts.of(row.tobytes() for row in block)
    assert np.array_equal(column.floats(2), block, equal_nan=True)
