import json
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.api.open_inference_bodies import blocks_of
from serving.errors import InvalidInputError
from serving.inputs import compile_schema
from serving.tensors import (
    NUMERIC,
    Tensor,
    TensorError,
    as_datatype,
    from_binary,
    from_json,
    to_binary,
    to_json,
)

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20)
numbers = st.sampled_from(sorted(NUMERIC)).flatmap(
    lambda datatype: st.tuples(
        st.just(datatype),
        arrays.arrays(np.dtype(NUMERIC[datatype]), st.integers(0, 20)),
    )
)


@given(numbers)
def test_numbers_survive_both_forms(given: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, values = given
    binary = from_binary(datatype, len(values), memoryview(to_binary(datatype, values)))
    np.testing.assert_array_equal(binary, values)
    if values.dtype.kind != "f" or not np.isinf(values).any():
        plain = json.loads(json.dumps(to_json(values)))
        np.testing.assert_array_equal(from_json(datatype, len(values), plain), values)


@given(texts)
def test_text_survives_both_forms(values: list[str]) -> None:
    array = from_json("BYTES", len(values), values)
    assert array.tolist() == values
    back = from_binary("BYTES", len(values), memoryview(to_binary("BYTES", array)))
    assert back.tolist() == values


@given(st.sampled_from([*NUMERIC, "BF16", "BYTES"]), st.integers(0, 5), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(datatype: str, size: int, data: bytes) -> None:
    with suppress(TensorError):
        assert len(from_binary(datatype, size, memoryview(data))) == size


def test_the_upper_halves_of_floats_are_read_as_such() -> None:
    wanted = np.array([1.0, -2.5, 0.0, 65536.0], "<f4")
    halves = (wanted.view("<u4") >> 16).astype("<u2").tobytes()
    assert from_binary("BF16", 4, memoryview(halves)).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("wanted", "values", "datatype", "told"),
    [
        ("INT64", [1, 0], "INT64", [1, 0]),
        ("INT64", [1, None], "FP64", [1.0, None]),
        ("FP64", [1, 2.5], "FP64", [1.0, 2.5]),
        ("FP64", [None], "FP64", [None]),
        ("BOOL", [True, False], "BOOL", [True, False]),
        ("BOOL", [1, 2], "INT64", [1, 2]),
        ("BYTES", ["a", None], "BYTES", ["a", ""]),
        ("BYTES", [1, {"x": 2}], "BYTES", ["1", '{"x":2}']),
        ("INT64", ["a", 1], "BYTES", ["a", "1"]),
        ("INT64", [2**70], "FP64", [2.0**70]),
    ],
)
def test_outputs_keep_the_datatype_that_can_hold_them(
    wanted: str, values: list[Any], datatype: str, told: list[Any]
) -> None:
    chosen, array = as_datatype(wanted, values)
    assert (chosen, to_json(array)) == (datatype, told)


NUMBERS = compile_schema(
    {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": ["number", "null"]}},
    }
)
MIXED = compile_schema(
    {
        "type": "object",
        "properties": {
            "place": {"type": "string", "enum": ["x", "y"]},
            "age": {"type": "integer", "minimum": 0},
            "member": {"type": "boolean"},
            "note": {"type": ["string", "null"]},
        },
        "required": ["place", "age", "member"],
    }
)


def matrix(name: str, rows: list[list[float]]) -> Tensor:
    values = np.array(rows)
    return Tensor(name, "FP64", values.shape, values.ravel())


def column(name: str, values: list[Any], datatype: str) -> Tensor:
    array = from_json(datatype, len(values), values)
    return Tensor(name, datatype, (len(values), 1), array)


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
                min_size=1, max_size=9))  # fmt: skip
def test_a_matrix_gives_the_blocks_of_its_rows(rows: list[list[float]]) -> None:
    wanted = [NUMBERS.check(row) for row in rows]
    assert blocks_of(NUMBERS, [matrix("x", rows)]) == wanted
    named = [column(n, [row[i] for row in rows], "FP64") for i, n in enumerate("ab")]
    assert blocks_of(NUMBERS, named) == wanted
    assert blocks_of(NUMBERS, named[::-1]) == wanted


def test_nan_is_a_missing_value_where_one_may_be_missing() -> None:
    assert blocks_of(NUMBERS, [matrix("x", [[1, math.nan]])]) == [NUMBERS.check([1, None])]
    with pytest.raises(InvalidInputError, match=r"expected a: a number, received null in row 1"):
        blocks_of(NUMBERS, [matrix("x", [[1, 1], [math.nan, 1]])])
    with pytest.raises(InvalidInputError, match=r"received Infinity in row 0"):
        blocks_of(NUMBERS, [matrix("x", [[1, math.inf]])])


def test_features_of_several_types_come_as_a_tensor_each() -> None:
    tensors = [
        column("member", [True, False], "BOOL"),
        column("place", ["x", "y"], "BYTES"),
        column("age", [41, 7], "INT32"),
    ]
    assert blocks_of(MIXED, tensors) == [
        MIXED.check({"place": "x", "age": 41, "member": True}),
        MIXED.check({"place": "y", "age": 7, "member": False}),
    ]


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([column("age", [1], "INT64"), column("place", ["x"], "BYTES")], 'tensor named "member"'),
        ([column("place", ["x"], "BYTES"), column("age", [1, 2], "INT64"),
          column("member", [True], "BOOL")], "/inputs/1/shape"),
        ([column("place", ["z"], "BYTES"), column("age", [1], "INT64"),
          column("member", [True], "BOOL")], "place: one of"),
        ([column("place", ["x"], "BYTES"), column("age", [-1], "INT64"),
          column("member", [True], "BOOL")], "age: an integer, at least 0"),
        ([column("place", ["x"], "BYTES"), column("place", ["x"], "BYTES"),
          column("age", [1], "INT64"), column("member", [True], "BOOL")], "/inputs/1/name"),
        ([column("place", ["x"], "BYTES"), column("age", [True], "BOOL"),
          column("member", [2], "INT64")], "member: true or false"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_told_by_place_and_feature(
    tensors: list[Tensor], said: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        blocks_of(MIXED, tensors)
    assert said in caught.value.detail
