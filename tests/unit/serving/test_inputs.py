import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInputError, InvalidSchemaError
from serving.features import MOST_FEATURES
from serving.inputs import InputCodec, compile_schema, infer_schema

NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and not set(name) & {'"', "\\"}
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**53), 2**53)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = {"number": NUMBERS | WHOLE, "integer": WHOLE, "boolean": st.booleans(), "string": TEXTS}
ANYTHING = st.none() | st.booleans() | WHOLE | NUMBERS | TEXTS | st.just(math.nan) | st.lists(WHOLE)


@st.composite
def schemas(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(VALUES)) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(kinds))
        form: dict[str, Any] = {"type": [kind, "null"] if draw(st.booleans()) else kind}
        if draw(st.integers(0, 3)) == 0:
            form["enum"] = draw(st.lists(VALUES[kind], min_size=1, max_size=3))
        elif kind in ("number", "integer") and draw(st.booleans()):
            form["minimum"] = draw(st.integers(-10, 10))
        properties[name] = form
    required = draw(st.lists(st.sampled_from(list(properties)), unique=True))
    return {"type": "object", "properties": properties, "required": required}


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows that fit a schema, as far as types go."""

    def values(name: str, form: dict[str, Any]) -> st.SearchStrategy[Any]:
        kind = form["type"] if isinstance(form["type"], str) else form["type"][0]
        strategy = st.sampled_from(form["enum"]) if "enum" in form else VALUES[kind]
        if "minimum" in form:
            strategy = strategy.filter(lambda value: value >= form["minimum"])
        if isinstance(form["type"], list) or name not in schema["required"]:
            strategy |= st.none()
        return strategy

    properties = schema["properties"]
    return st.fixed_dictionaries(
        {name: values(name, properties[name]) for name in schema["required"]},
        optional={
            n: values(n, form) for n, form in properties.items() if n not in schema["required"]
        },
    )


@st.composite
def rows_of_any_kind(draw: st.DrawFn) -> tuple[InputCodec, Any]:
    schema = draw(schemas())
    names = list(schema["properties"])
    row = draw(
        fitting(schema) | st.dictionaries(st.sampled_from(names) | NAMES, ANYTHING) | ANYTHING
    )
    return compile_schema(schema), row


def verdict(codec: InputCodec, row: Any) -> bytes | None:
    try:
        return codec.check(row)
    except InvalidInputError:
        return None


@given(rows_of_any_kind())
def test_what_the_quick_reader_accepts_the_precise_one_encodes_the_same(
    case: tuple[InputCodec, Any],
) -> None:
    codec, row = case
    raw = json.dumps(row).encode()
    quick = codec.read(raw)
    if quick is not None:
        assert verdict(codec, json.loads(raw)) == quick


@given(st.data())
def test_a_row_that_fits_is_encoded_and_read_back_the_same(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = compile_schema(schema)
    row = data.draw(fitting(schema))
    values = codec.values(codec.check(row))
    assert values == [row.get(name) for name in codec.features]
    assert codec.check(values) == codec.check(row)


@given(st.data())
def test_the_quick_reader_takes_every_row_of_plain_numbers(data: st.DataObject) -> None:
    row = data.draw(st.dictionaries(NAMES, NUMBERS, min_size=1))
    codec = compile_schema(
        {"type": "object", "properties": {name: {"type": "number"} for name in row}}
    )
    assert codec.read(json.dumps(row).encode()) == codec.check(row)
    assert codec.read(json.dumps(list(row.values())).encode()) == codec.check(row)


SCHEMA = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0},
        "income": {"type": ["number", "null"]},
        "kind": {"type": "string", "enum": ["x", "y"]},
    },
    "required": ["age", "kind"],
}


@pytest.mark.parametrize(
    ("row", "path", "expected", "received"),
    [
        ({"kind": "x"}, "/input/age", "an integer, at least 0", "nothing"),
        ({"age": 1, "kind": "x", "agee": 2}, "/input/agee", "one of age, income, kind", "unknown"),
        ({"age": "old", "kind": "x"}, "/input/age", "an integer", '"old"'),
        ({"age": True, "kind": "x"}, "/input/age", "an integer", "true"),
        ({"age": 1.5, "kind": "x"}, "/input/age", "an integer", "1.5"),
        ({"age": -1, "kind": "x"}, "/input/age", "at least 0", "-1"),
        ({"age": None, "kind": "x"}, "/input/age", "an integer", "null"),
        ({"age": 1, "kind": "z"}, "/input/kind", 'one of ["x", "y"]', '"z"'),
        ({"age": 1, "kind": "x", "income": math.nan}, "/input/income", "a number, or null", "NaN"),
        ({"age": 1, "kind": "x", "income": math.inf}, "/input/income", "a number", "Infinity"),
        ({"age": 1, "kind": "\ud800"}, "/input/kind", "one of", ""),
        ([1, 2.0], "/input", "3 values: age, income, kind", "2 values"),
        ([1, 2.0, 3], "/input/2", "one of", "3"),
        ("row", "/input", "an object of 3 features or an array of them", '"row"'),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected_and_what_came(
    row: Any, path: str, expected: str, received: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        compile_schema(SCHEMA).check(row)
    (error,) = caught.value.errors
    assert error.path == path
    assert expected in error.expected
    assert received in error.received


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        compile_schema(SCHEMA).check({"age": "x", "kind": 1, "extra": 0})
    assert {error.path for error in caught.value.errors} == {
        "/input/age", "/input/kind", "/input/extra",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "array", "properties": {"a": {"type": "number"}}}, "/type"),
        ({"properties": {}}, "/properties"),
        ({"properties": {'a"b': {"type": "number"}}}, '/properties/a"b'),
        ({}, "/properties"),
        ({"properties": {"a": {"type": "object"}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": ["number", "string"]}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": "number", "multipleOf": 2}}}, "/properties/a/multipleOf"),
        ({"properties": {"a": {"type": "string", "pattern": "("}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"type": "string", "pattern": 1}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"type": "string", "pattern": r"(?=a)b"}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"type": "string", "pattern": r"(a)\1"}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"type": "number", "minimum": "0"}}}, "/properties/a/minimum"),
        ({"properties": {"a": {"type": "number"}}, "required": ["b"]}, "/required"),
        ({"properties": {"a": {"type": "number"}}, "required": [["a"]]}, "/required"),
        ({"properties": {"a": {"type": 1}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": [["number"]]}}}, "/properties/a/type"),
        ({"properties": {"a": {"type": "number", "minimum": 10**400}}}, "/properties/a/minimum"),
        (
            {"properties": {f"x{n}": {"type": "number"} for n in range(MOST_FEATURES + 1)}},
            "/properties",
        ),
        ({"properties": {"a": {"type": "number"}}, "anyOf": []}, "/anyOf"),
        (
            {"properties": {"a": {"type": "number"}}, "additionalProperties": True},
            "/additionalProperties",
        ),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_keyword(
    schema: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        compile_schema(schema)
    assert path in {error.path for error in caught.value.errors}


SCRAPS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
KEYWORDS = st.sampled_from(
    ["type", "enum", "minimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "title"]
)
FEATURES = st.builds(
    lambda more, kind: {"type": kind, **more},
    st.dictionaries(KEYWORDS, SCRAPS, max_size=2),
    st.sampled_from(["number", "integer", "boolean", "string", ["number", "null"]]),
)
SCHEMAS = st.builds(
    lambda properties, more: {"properties": properties, **more},
    st.dictionaries(st.text(max_size=3), FEATURES | SCRAPS, max_size=3) | SCRAPS,
    st.dictionaries(st.sampled_from(["type", "required", "title"]), SCRAPS, max_size=2),
)


@given(SCHEMAS, SCRAPS)
def test_whatever_comes_as_a_schema_is_one_or_says_why_not(schema: Any, value: Any) -> None:
    try:
        codec = compile_schema(schema)
    except InvalidSchemaError:
        return
    for row in (value, [value] * len(codec.features), dict.fromkeys(codec.features, value)):
        with contextlib.suppress(InvalidInputError):
            codec.check(row)


def test_rows_of_too_many_features_are_no_schema() -> None:
    with pytest.raises(InvalidInputError, match="at most 10000 features, received 10001"):
        infer_schema([[0.0] * (MOST_FEATURES + 1)])


@given(st.lists(st.fixed_dictionaries({"n": NUMBERS | st.none(), "s": TEXTS}), min_size=1))
def test_rows_fit_the_schema_that_was_inferred_from_them(rows: list[dict[str, Any]]) -> None:
    codec = compile_schema(infer_schema(rows))
    for row in rows:
        assert dict(zip(codec.features, codec.values(codec.check(row)), strict=True)) == row


def test_a_feature_absent_from_a_row_may_be_absent() -> None:
    codec = compile_schema(infer_schema([{"a": 1, "b": 2}, {"a": 1}]))
    assert codec.values(codec.check({"a": 1})) == [1, None]


def test_a_feature_of_two_types_is_named_with_its_row() -> None:
    with pytest.raises(InvalidInputError) as caught:
        infer_schema([{"a": 1}, {"a": "x"}])
    assert caught.value.errors[0].path == "/rows/1/a"
