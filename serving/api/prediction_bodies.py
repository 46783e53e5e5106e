"""Bodies of the prediction route: two readers with one result, and one writer.

The quick reader accepts what is right; whatever it does not accept goes to the precise one, which
says what is wrong. Both give the same `Asked` for the same bytes.
"""

import json
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from serving.api.problems import problem
from serving.errors import (
    FieldError,
    InvalidInputError,
    InvalidRequestError,
    MalformedBodyError,
    ServingError,
    TooManyRowsError,
    shown,
)
from serving.inference import ActiveRoute, Inference, Prediction
from serving.inputs import InputCodec
from serving.nesting import MOST_LEVELS, is_too_deep
from serving.pieces import PIECE_ROWS, in_pieces

CONTEXT_LIMIT = 65_536
"""Bytes of a context: the record keeps it with each of the request's rows. What the quick reader
gets is shorter as a whole."""
CONTEXT_EXPECTED = f"an object of at most {CONTEXT_LIMIT} bytes and {MOST_LEVELS} levels"
_FIELDS = ("input", "inputs", "context")

Row = bytes | InvalidInputError
"""A block, or what is wrong with the input."""


class Asked(msgspec.Struct, frozen=True):
    """What one body asks for."""

    rows: list[Row]
    many: bool
    """Whether the body held `inputs`; then a wrong one has its error in its place."""
    context: Mapping[str, Any] | None


def read_quickly(codec: InputCodec, raw: bytes, most: int) -> Asked | None:
    """Read a body that is right; None if it needs the precise reader, or is long."""
    body = _decoded(codec, raw, min(most, PIECE_ROWS))
    if body is None:
        return None
    if body.inputs is msgspec.UNSET:
        block = codec.encode(body.input)
        return None if block is None else Asked([block], False, body.context)
    return Asked(_rows(codec, body.inputs, 0), True, body.context)


async def read(codec: InputCodec, raw: bytes, most: int) -> Asked:
    """Read a body of any length; raises as `read_precisely`."""
    body = _decoded(codec, raw, most)
    if body is None or body.inputs is msgspec.UNSET or not is_context(body.context):
        return read_precisely(codec, raw, most)
    rows: list[Row] = []
    async for some in in_pieces(body.inputs):
        rows += _rows(codec, some, len(rows))
    return Asked(rows, True, body.context)


def _decoded(codec: InputCodec, raw: bytes, most: int) -> Any:
    """A body of the documented form, with its context; `inputs` are not read yet, or UNSET."""
    try:
        body = codec.bodies.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if (
        body.context
        and raw.count(b"[") + raw.count(b"{") > MOST_LEVELS
        and is_too_deep(body.context)
    ):
        return None
    if (body.input is msgspec.UNSET) == (body.inputs is msgspec.UNSET):
        return None
    if body.inputs is not msgspec.UNSET and not 0 < len(body.inputs) <= most:
        return None
    return body


def _rows(codec: InputCodec, inputs: Sequence[msgspec.Raw], first: int) -> list[Row]:
    """Read inputs, of which the first has a place in its body."""
    rows = []
    for place, one in enumerate(inputs, first):
        row: Row | None = codec.read(one)
        if row is None:
            row = _checked(codec, json.loads(bytes(one)), f"/inputs/{place}")
        rows.append(row)
    return rows


def read_precisely(codec: InputCodec, raw: bytes, most: int) -> Asked:
    """Read a body, and say what is wrong with it.

    Parameters
    ----------
    most
        Inputs that one body may hold.

    Raises
    ------
    TooManyRowsError
        If it holds more.
    MalformedBodyError
        If it is no JSON.
    InvalidRequestError
        If it is not of the documented form.
    InvalidInputError
        If its single input does not fit the schema.
    """
    try:
        # Python's reader takes NaN and Infinity, so that the field which holds one can be named.
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError("JSON", str(error) or type(error).__name__) from error
    if not isinstance(body, dict):
        raise InvalidRequestError([FieldError("", "an object with input or inputs", shown(body))])
    errors = [
        FieldError(f"/{name}", f"one of {', '.join(_FIELDS)}", "an unknown field")
        for name in body
        if name not in _FIELDS
    ]
    if ("input" in body) == ("inputs" in body):
        received = "both" if "input" in body else "neither"
        errors.append(FieldError("", "either input or inputs", received))
    inputs = body.get("inputs", [None])
    if not isinstance(inputs, list) or not inputs:
        errors.append(FieldError("/inputs", "an array of at least one input", shown(inputs)))
    context = body.get("context")
    if not is_context(context):
        errors.append(FieldError("/context", CONTEXT_EXPECTED, shown(context)))
    if errors:
        raise InvalidRequestError(errors)
    if len(inputs) > most:
        raise TooManyRowsError(most, len(inputs))
    if "input" in body:
        return Asked([codec.check(body["input"], "/input")], False, context)
    rows = [_checked(codec, one, f"/inputs/{place}") for place, one in enumerate(inputs)]
    return Asked(rows, True, context)


def _checked(codec: InputCodec, value: Any, path: str) -> Row:
    try:
        return codec.check(value, path)
    except InvalidInputError as error:
        return error


def is_context(context: Any) -> bool:
    """Whether the record can keep it beside an input."""
    if context is None:
        return True
    try:
        text = json.dumps(context, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # NaN, or a surrogate that stands alone.
        return False
    return isinstance(context, dict) and len(text) <= CONTEXT_LIMIT and not is_too_deep(context)


def answer(inference: Inference, route: ActiveRoute, asked: Asked) -> Coroutine[None, None, bytes]:
    """Answer a body: the JSON text of one prediction, or of all in the order of the inputs.

    The rows are handed over as `Inference.predict_many` does it.
    """
    blocks = [row for row in asked.rows if isinstance(row, bytes)]
    if not asked.many:
        return _one(inference.predict(route, blocks[0], asked.context))
    inference.count(route.application.name).errors += len(asked.rows) - len(blocks)
    return _all(inference.predict_many(route, blocks, asked.context), asked.rows)


async def _one(prediction: Awaitable[Prediction]) -> bytes:
    return (await prediction).to_json()


async def _all(answers: Awaitable[Sequence[Prediction | ServingError]], rows: list[Row]) -> bytes:
    predictions = iter(await answers)
    texts: list[bytes] = []
    async for some in in_pieces(rows):
        texts += [_item(next(predictions) if isinstance(row, bytes) else row) for row in some]
    return b'{"predictions":[' + b",".join(texts) + b"]}"


def _item(result: Prediction | ServingError) -> bytes:
    return result.to_json() if isinstance(result, Prediction) else _failed(result)


def _failed(error: ServingError) -> bytes:
    return json.dumps({"error": problem(error)}).encode()
