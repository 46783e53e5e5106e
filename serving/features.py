"""One feature of an input schema: what it may be, and what is wrong with a value."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import msgspec

from serving.errors import FieldError, InvalidSchemaError, shown
from serving.patterns import Pattern

Kind = Literal["number", "integer", "boolean", "string"]

EXACT = 2**53
"""Beyond it a float64 does not hold every whole number."""
MOST_FEATURES = 10_000
"""Features of one schema: compiling them takes the event loop's turn from every caller."""

_SCHEMA_KEYWORDS = {
    "$schema", "$id", "$comment", "title", "description", "examples", "default", "type",
    "properties", "required", "additionalProperties",
}  # fmt: skip
_NUMBER_KEYWORDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_STRING_KEYWORDS = {"minLength", "maxLength", "pattern"}
_KEYWORDS = {"$comment", "title", "description", "examples", "default", "type", "enum"}

_UNFIT_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
"""What a name cannot hold: the compiled reader compares names as they stand in the JSON text."""

_PLAIN: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "string": str}
_SAID = {
    "number": "a number", "integer": "an integer", "boolean": "true or false", "string": "a string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature."""

    name: str
    kind: Kind
    nullable: bool
    optional: bool
    """Whether it may be absent, which is the same as null."""
    enum: tuple[Any, ...] | None
    bounds: tuple[tuple[str, float], ...]
    """Keyword and limit, of numbers and of the length of strings."""
    pattern: Pattern | None

    @property
    def annotation(self) -> Any:
        """The type that msgspec reads; it checks all but what `needs_check` says."""
        kind: Any = _PLAIN[self.kind]
        if self.kind == "integer":
            kind = Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)]
        return kind | None if self.nullable else kind

    @property
    def needs_check(self) -> bool:
        """Whether a value of the right type may still be wrong."""
        return bool(self.enum is not None or self.bounds or self.pattern)

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        words = _SAID[self.kind]
        if self.enum is not None:
            words = f"one of {shown(list(self.enum))}"
        words += "".join(f", {_BOUNDS[keyword][1]} {limit:g}" for keyword, limit in self.bounds)
        if self.pattern is not None:
            words += f", {self.pattern}"
        return f"{words}, or null" if self.nullable else words

    def fault(self, value: Any) -> str | None:
        """What was expected, if the value does not fit; None if it does."""
        if value is None:
            return None if self.nullable else self.expected
        if not self._of_kind(value):
            return self.expected
        measure = len(value) if self.kind == "string" else value
        if any(not _BOUNDS[keyword][0](measure, limit) for keyword, limit in self.bounds):
            return self.expected
        if self.pattern is not None and not self.pattern.fits(value):
            return self.expected
        if self.enum is not None and not any(_same(value, one) for one in self.enum):
            return self.expected
        return None

    def _of_kind(self, value: Any) -> bool:
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind == "string":
            return isinstance(value, str) and _encodable(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind == "integer":
            return float(value).is_integer() and abs(value) <= EXACT
        return _finite(value)

    def exact(self, value: Any) -> Any:
        """A value without fault in the form that the compiled reader gives: a number 0 is 0.0."""
        if value is None or self.kind in ("boolean", "string"):
            return value
        return int(value) if self.kind == "integer" else float(value)

    def plain(self, number: float) -> float | int | bool:
        """A number from a block as the value that the request had."""
        if self.kind == "boolean":
            return bool(number)
        return int(number) if self.kind == "integer" else number


_BOUNDS: dict[str, tuple[Any, str]] = {
    "minimum": (lambda value, limit: value >= limit, "at least"),
    "maximum": (lambda value, limit: value <= limit, "at most"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "more than"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "less than"),
    "minLength": (lambda value, limit: value >= limit, "of length at least"),
    "maxLength": (lambda value, limit: value <= limit, "of length at most"),
}


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number beyond what a float64 reaches.
        return False


def _encodable(text: str) -> bool:
    """A lone surrogate is legal in JSON text and impossible in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(value: Any, one: Any) -> bool:
    """Equality of JSON: true is not 1."""
    return bool(value == one) and isinstance(value, bool) == isinstance(one, bool)


def parse_features(schema: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Read the features of a schema.

    Raises
    ------
    InvalidSchemaError
        With every keyword that cannot be kept: a promise in a schema is checked or refused.
    """
    errors = _unknown("", schema, _SCHEMA_KEYWORDS)
    if schema.get("type", "object") != "object":
        errors.append(_error("/type", '"object"', schema["type"]))
    if schema.get("additionalProperties", False) is not False:
        expected = "false: an unknown field is always refused"
        errors.append(_error("/additionalProperties", expected, schema["additionalProperties"]))
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 1 <= len(properties) <= MOST_FEATURES:
        count = len(properties) if isinstance(properties, dict) else 0
        received = f"{count} features" if count else shown(properties)
        expected = f"an object of 1 to {MOST_FEATURES} features"
        errors.append(FieldError("/properties", expected, received))
        raise InvalidSchemaError(errors)
    required = schema.get("required", list(properties))
    if not isinstance(required, list) or not all(
        isinstance(name, str) and name in properties for name in required
    ):
        errors.append(_error("/required", "an array of names among the properties", required))
        required = []
    needed = set(required)
    features = []
    for name, one in properties.items():
        path = f"/properties/{name.replace('~', '~0').replace('/', '~1')}"
        feature = _feature(name, one, path, name not in needed, errors)
        if feature is not None:
            features.append(feature)
    if errors:
        raise InvalidSchemaError(errors)
    return tuple(features)


def _feature(
    name: str, one: Any, path: str, optional: bool, errors: list[FieldError]
) -> Feature | None:
    if _UNFIT_NAME.search(name) is not None or not name:
        errors.append(
            _error(path, "a name without quotes, backslashes or control characters", name)
        )
        return None
    if not isinstance(one, dict):
        errors.append(_error(path, "an object", one))
        return None
    types = one.get("type")
    kinds = types if isinstance(types, list) else [types]
    named = [kind for kind in kinds if kind != "null"]
    if len(named) != 1 or not isinstance(named[0], str) or named[0] not in _PLAIN:
        expected = "number, integer, boolean or string, alone or with null"
        errors.append(_error(f"{path}/type", expected, types))
        return None
    kind = cast(Kind, named[0])
    allowed = _KEYWORDS
    if kind in ("number", "integer"):
        allowed = _KEYWORDS | _NUMBER_KEYWORDS
    elif kind == "string":
        allowed = _KEYWORDS | _STRING_KEYWORDS
    errors += _unknown(path, one, allowed)
    pattern = _pattern(one["pattern"], f"{path}/pattern", errors) if "pattern" in one else None
    for keyword in (_NUMBER_KEYWORDS | _STRING_KEYWORDS) & one.keys() - {"pattern"}:
        limit = one[keyword]
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not _finite(limit):
            errors.append(_error(f"{path}/{keyword}", "a finite number", limit))
    enum = one.get("enum")
    if enum is not None and (not isinstance(enum, list) or not enum):
        errors.append(_error(f"{path}/enum", "an array of at least one value", enum))
        enum = None
    nullable = "null" in kinds or optional
    bounds = tuple((key, one[key]) for key in _BOUNDS if key in one)
    values = None if enum is None else tuple(value for value in enum if value is not None)
    return Feature(name, kind, nullable, optional, values, bounds, pattern)


def _pattern(given: Any, path: str, errors: list[FieldError]) -> Pattern | None:
    if not isinstance(given, str):
        errors.append(_error(path, "a regular expression", given))
        return None
    try:
        return Pattern(given)
    except ValueError as error:
        errors.append(_error(path, f"a regular expression of linear time ({error})", given))
        return None


def _unknown(path: str, given: Mapping[str, Any], allowed: set[str]) -> list[FieldError]:
    return [
        _error(f"{path}/{keyword}", f"one of {', '.join(sorted(allowed))}", value)
        for keyword, value in given.items()
        if keyword not in allowed
    ]


def _error(path: str, expected: str, received: Any) -> FieldError:
    return FieldError(path, expected, shown(received))
