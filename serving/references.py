"""Reference rows: checked, and put in the order of one list of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.errors import FieldError, InvalidInputError, InvalidReferenceError, shown
from serving.inputs import infer_schema

ERRORS_TOLD = 20
"""Wrong rows told at most; one wrong column is wrong in all of them."""


@dataclass(frozen=True, slots=True)
class ReferenceRows:
    """Training or validation rows, in time order."""

    features: tuple[str, ...]
    inputs: list[list[Any]]
    labels: list[Any] | None
    outputs: list[Any] | None
    schema: dict[str, Any]
    """JSON Schema that all rows fit, for an application that states none."""


def read_reference(
    rows: Sequence[dict[str, Any]],
    labels: list[Any] | None,
    outputs: list[Any] | None,
    path: str = "",
) -> ReferenceRows:
    """Check that rows, labels and outputs fit together.

    Parameters
    ----------
    path
        JSON Pointer of the place in the body that holds them.

    Raises
    ------
    InvalidReferenceError
        With the fields that are wrong.
    """
    try:
        schema = infer_schema(rows)
    except InvalidInputError as error:
        raise InvalidReferenceError(
            [FieldError(path + one.path, one.expected, one.received) for one in error.errors]
        ) from error
    features = tuple(schema["properties"])
    errors = []
    for name, values in (("labels", labels), ("outputs", outputs)):
        if values is None:
            continue
        if len(values) != len(rows):
            expected = f"{len(rows)} values, one for each row"
            errors.append(FieldError(f"{path}/{name}", expected, f"{len(values)}"))
        errors += [
            FieldError(f"{path}/{name}/{place}", "a string, a number or a boolean", shown(value))
            for place, value in enumerate(values)
            if value is None or isinstance(value, list | dict)
        ][:ERRORS_TOLD]
    if errors:
        raise InvalidReferenceError(errors)
    inputs = [[row.get(name) for name in features] for row in rows]
    return ReferenceRows(features, inputs, labels, outputs, schema)
