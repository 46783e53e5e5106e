"""From an input schema to a codec: one request input in, one row block out.

The schema is a JSON Schema of an object whose properties are the features, in the order of the
block. Two readers share each codec: a compiled one that says yes quickly, and a plain one that says
precisely what is wrong. A test holds them to the same verdicts.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from serving.errors import FieldError, InvalidInputError, shown
from serving.features import MOST_FEATURES, parse_features
from serving.records import Encoding

NAN = float("nan")
"""Stands for null in a block of numbers."""


class InputCodec:
    """Turns inputs of one schema into row blocks."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema.

        Raises
        ------
        InvalidSchemaError
            If rows cannot be encoded by it; names each keyword that is in the way.
        """
        self._features = parse_features(schema)
        self.features = tuple(feature.name for feature in self._features)
        """Names in the block's order."""
        numeric = all(feature.kind != "string" for feature in self._features)
        self.encoding: Encoding = "float64" if numeric else "json"
        self._places = {name: place for place, name in enumerate(self.features)}
        self._pack = struct.Struct(f"<{len(self.features)}d").pack
        self._nullable = any(feature.nullable for feature in self._features)
        # Enumerations and patterns are rare; what the compiled reader cannot check it checks after.
        self._checked = [
            (place, feature) for place, feature in enumerate(self._features) if feature.needs_check
        ]
        self.row_type = msgspec.defstruct(
            "Row",
            [
                (f"f{place}", feature.annotation, None)
                if feature.optional
                else (f"f{place}", feature.annotation)
                for place, feature in sorted(
                    enumerate(self._features), key=lambda item: item[1].optional
                )
            ],
            rename={f"f{place}": name for place, name in enumerate(self.features)},
            forbid_unknown_fields=True,
            gc=False,
        )
        """Type of an input as an object, for a decoder of whole bodies."""
        self.array_type = tuple[tuple(feature.annotation for feature in self._features)]  # type: ignore[misc]  # made at run time
        """Type of an input as an array."""
        self._order = tuple(f"f{place}" for place in range(len(self.features)))
        self._in_order = self._order == self.row_type.__struct_fields__
        row = self.row_type | self.array_type
        self._decoder = msgspec.json.Decoder(row)
        self.bodies: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct(
                "Body",
                [
                    ("input", row | msgspec.UnsetType, msgspec.UNSET),
                    ("inputs", list[msgspec.Raw] | msgspec.UnsetType, msgspec.UNSET),
                    ("context", dict[str, Any] | None, None),
                ],
                forbid_unknown_fields=True,
                gc=False,
            )
        )
        """Compiled reader of whole bodies."""
        self.kinds = tuple(feature.kind for feature in self._features)
        """Type of each feature."""
        self.optional = tuple(feature.optional for feature in self._features)
        """Which features may be absent."""
        self.nullable = tuple(feature.nullable for feature in self._features)
        """Which features may be null."""
        self.takes_any_number = not self._checked and set(self.kinds) == {"number"}
        """Whether every finite number is right in every place."""

    def encode(self, row: Any) -> bytes | None:
        """Encode an input that the compiled types have read; None if it needs the precise reader.

        Parameters
        ----------
        row
            A value of `row_type` or `array_type`.
        """
        if type(row) is tuple:
            values = row
        elif self._in_order:
            values = msgspec.structs.astuple(row)
        else:
            values = tuple(getattr(row, name) for name in self._order)
        for place, feature in self._checked:
            if feature.fault(values[place]) is not None:
                return None
        return self._block(values)

    def read(self, raw: bytes | msgspec.Raw) -> bytes | None:
        """Encode an input from its JSON text; None if it needs the precise reader."""
        try:
            return self.encode(self._decoder.decode(raw))
        except msgspec.DecodeError:
            return None

    def check(self, value: Any, path: str = "/input") -> bytes:
        """Encode an input that was read as plain JSON values.

        Parameters
        ----------
        path
            Where in the body it stands, as a JSON Pointer.

        Raises
        ------
        InvalidInputError
            With every field that is wrong.
        """
        if isinstance(value, list):
            errors, values = self._check_array(value, path)
        elif isinstance(value, dict):
            errors, values = self._check_object(value, path)
        else:
            expected = f"an object of {len(self.features)} features or an array of them"
            errors, values = [FieldError(path, expected, shown(value))], []
        if errors:
            raise InvalidInputError(errors)
        exact = [f.exact(value) for f, value in zip(self._features, values, strict=True)]
        return self._block(exact)

    def _check_array(self, row: list[Any], path: str) -> tuple[list[FieldError], list[Any]]:
        if len(row) != len(self.features):
            expected = f"{len(self.features)} values: {_some(self.features)}"
            return [FieldError(path, expected, f"{len(row)} values")], []
        return self._faults(row, [f"{path}/{place}" for place in range(len(row))]), row

    def _check_object(self, row: dict[str, Any], path: str) -> tuple[list[FieldError], list[Any]]:
        errors = [
            FieldError(_under(path, name), f"one of {_some(self.features)}", "an unknown field")
            for name in row
            if name not in self._places
        ]
        values = []
        for feature in self._features:
            if feature.name not in row and not feature.optional:
                errors.append(FieldError(_under(path, feature.name), feature.expected, "nothing"))
            values.append(row.get(feature.name))
        present = [place for place, feature in enumerate(self._features) if feature.name in row]
        for place in present:
            fault = self._features[place].fault(values[place])
            if fault is not None:
                where = _under(path, self.features[place])
                errors.append(FieldError(where, fault, shown(values[place])))
        return errors, values

    def _faults(self, values: Sequence[Any], paths: Sequence[str]) -> list[FieldError]:
        return [
            FieldError(path, fault, shown(value))
            for feature, value, path in zip(self._features, values, paths, strict=True)
            if (fault := feature.fault(value)) is not None
        ]

    def _block(self, values: Sequence[Any]) -> bytes:
        if self.encoding == "json":
            return msgspec.json.encode(values)
        if self._nullable:
            values = [NAN if value is None else value for value in values]
        return self._pack(*values)

    def values(self, block: bytes) -> list[Any]:
        """Read a block back: values in the order of the features, null as None."""
        if self.encoding == "json":
            read: list[Any] = json.loads(block)
            return read
        numbers = struct.unpack(f"<{len(self.features)}d", block)
        return [
            None if math.isnan(number) else feature.plain(number)
            for feature, number in zip(self._features, numbers, strict=True)
        ]


def compile_schema(schema: Mapping[str, Any]) -> InputCodec:
    """Make the codec of a schema; raises `InvalidSchemaError` if none can be made."""
    return InputCodec(schema)


def infer_schema(
    rows: Sequence[Mapping[str, Any] | Sequence[Any]], names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Guess the schema of an application from rows.

    Every number becomes `number`: that a column's first values are whole says nothing of the next.
    A feature that is null or absent in a row may be null.

    Parameters
    ----------
    rows
        Objects of named features, or arrays in one order; at least one.
    names
        Names for arrays; `x0`, `x1`, … without.

    Raises
    ------
    InvalidInputError
        If the rows have no values, or one feature has values of several types.
    """
    objects = [_named(row, names, number) for number, row in enumerate(rows)]
    order = list(dict.fromkeys(name for row in objects for name in row))
    if not order:
        raise InvalidInputError([FieldError("/rows", "at least one row with features", "none")])
    if len(order) > MOST_FEATURES:
        expected = f"rows of at most {MOST_FEATURES} features"
        raise InvalidInputError([FieldError("/rows", expected, f"{len(order)} features")])
    properties = {name: _inferred(name, objects) for name in order}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in order if all(name in row for row in objects)],
        "additionalProperties": False,
    }


def _named(row: Any, names: Sequence[str] | None, number: int) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if isinstance(row, str) or not isinstance(row, Sequence):
        path = f"/rows/{number}"
        raise InvalidInputError([FieldError(path, "an object or an array", shown(row))])
    given = names if names is not None else [f"x{place}" for place in range(len(row))]
    if len(given) != len(row):
        path = f"/rows/{number}"
        raise InvalidInputError([FieldError(path, f"{len(given)} values", f"{len(row)} values")])
    return dict(zip(given, row, strict=True))


def _inferred(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for number, row in enumerate(rows):
        kinds.setdefault(_kind(row.get(name), _under(f"/rows/{number}", name)), number)
    null = kinds.pop("null", None) is not None
    if len(kinds) > 1:
        first, second = list(kinds.items())[:2]
        path = _under(f"/rows/{second[1]}", name)
        expected = f"a {first[0]}, as in row {first[1]}"
        raise InvalidInputError([FieldError(path, expected, f"a {second[0]}")])
    # A feature that was null in every row: a number is what a block can hold.
    kind = next(iter(kinds), "number")
    return {"type": [kind, "null"] if null else kind}


def _kind(value: Any, path: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float) and math.isfinite(value):
        return "number"
    if isinstance(value, str):
        return "string"
    expected = "a finite number, a boolean, a string or null"
    raise InvalidInputError([FieldError(path, expected, shown(value))])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:10])}, …"


def _under(path: str, name: str) -> str:
    """A JSON Pointer one level deeper (RFC 6901)."""
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
