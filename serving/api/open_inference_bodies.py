"""Bodies of the Open Inference Protocol: a request as row blocks, predictions as tensors."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.batching import Outcome
from serving.errors import (
    FieldError,
    InvalidInputError,
    InvalidRequestError,
    MalformedBodyError,
    shown,
)
from serving.ids import text_of
from serving.inference import Prediction
from serving.inputs import InputCodec
from serving.tensors import (
    DATATYPES,
    Tensor,
    TensorError,
    as_datatype,
    from_binary,
    from_json,
    to_binary,
    to_json,
)

RESERVED = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority",
            "timeout")  # fmt: skip
"""Parameters of a request that the protocol's clients give a meaning; all others are context."""
ALWAYS = "prediction_id"
"""The output that feedback needs; an answer has it whether or not it was asked for."""
MATRIX = "input"
"""Name of the one tensor of a model whose features are all numbers; any other is taken, too."""


class OutputForm(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InputForm(msgspec.Struct):
    """An input tensor, with its data or with their length behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: Any = msgspec.UNSET


class InferForm(msgspec.Struct):
    """The JSON of an inference request."""

    inputs: list[InputForm]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[OutputForm] = []


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that can be read."""

    form: InferForm
    tensors: list[Tensor]

    @property
    def rows(self) -> int:
        """The first dimension, by the tensor that has most."""
        return max(tensor.shape[0] if tensor.shape else 0 for tensor in self.tensors)

    @property
    def context(self) -> dict[str, Any] | None:
        """What the client says beside the tensors."""
        context = {k: v for k, v in self.form.parameters.items() if k not in RESERVED}
        return context or None

    def is_binary(self, name: str) -> bool:
        """Whether an output is wanted behind the JSON."""
        for one in self.form.outputs:
            if one.name == name and "binary_data" in one.parameters:
                return one.parameters["binary_data"] is True
        return self.form.parameters.get("binary_data_output") is True

    def wants(self, name: str) -> bool:
        """Whether an output belongs into the answer."""
        asked = [one.name for one in self.form.outputs]
        return not asked or name in asked or name == ALWAYS


_decoder = msgspec.json.Decoder(InferForm)


def read_request(raw: bytes, json_length: str | None) -> InferRequest:
    """Take a body apart.

    Parameters
    ----------
    json_length
        The header `Inference-Header-Content-Length`; none where the body is JSON alone.

    Raises
    ------
    MalformedBodyError
        If it is no JSON, or the header is no length of it.
    InvalidRequestError
        If it is not of the documented form; names the place.
    """
    length = len(raw)
    if json_length is not None:
        if not json_length.isdecimal() or int(json_length) > len(raw):
            expected = f"Inference-Header-Content-Length up to the body's {len(raw)} bytes"
            raise MalformedBodyError(expected, shown(json_length))
        length = int(json_length)
    try:
        form = _decoder.decode(memoryview(raw)[:length])
    except msgspec.ValidationError as error:
        raise InvalidRequestError([_placed(str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBodyError("JSON", str(error) or type(error).__name__) from error
    if not form.inputs:
        raise InvalidRequestError([FieldError("/inputs", "at least one tensor", "none")])
    return InferRequest(form, _tensors(form.inputs, memoryview(raw)[length:]))


def _placed(message: str) -> FieldError:
    """What msgspec says, with its path as a JSON Pointer."""
    said, _, path = message.partition(" - at `$")
    pointer = re.sub(r"[.\[]", "/", path.rstrip("`")).replace("]", "")
    expected, _, received = said.removeprefix("Expected ").partition(", got ")
    return FieldError(pointer, expected, received or "something else")


def _tensors(inputs: Sequence[InputForm], rest: memoryview) -> list[Tensor]:
    tensors = []
    for place, one in enumerate(inputs):
        path = f"/inputs/{place}"
        if one.datatype not in DATATYPES:
            expected = f"one of {', '.join(DATATYPES)}"
            error = FieldError(f"{path}/datatype", expected, shown(one.datatype))
            raise InvalidRequestError([error])
        if not one.shape or any(length < 0 for length in one.shape):
            expected = "the lengths of the dimensions, rows first"
            raise InvalidRequestError([FieldError(f"{path}/shape", expected, shown(one.shape))])
        size, length = math.prod(one.shape), one.parameters.get("binary_data_size")
        try:
            if length is None:
                values = from_json(one.datatype, size, one.data)
            else:
                if not isinstance(length, int) or not 0 <= length <= len(rest):
                    raise TensorError(f"binary_data_size up to {len(rest)}", shown(length))
                values, rest = from_binary(one.datatype, size, rest[:length]), rest[length:]
        except (TensorError, RecursionError) as error:
            expected = getattr(error, "expected", "nesting by the shape")
            received = getattr(error, "received", "deeper nesting")
            raise InvalidRequestError([FieldError(f"{path}/data", expected, received)]) from error
        tensors.append(Tensor(one.name, one.datatype, tuple(one.shape), values))
    if len(rest):
        expected = "as many bytes as the tensors' binary_data_size"
        raise MalformedBodyError(expected, f"{len(rest)} bytes more")
    return tensors


def blocks_of(codec: InputCodec, tensors: Sequence[Tensor]) -> list[bytes]:
    """Row blocks from tensors: one of shape [rows, features], or one for each feature by its name.

    Raises
    ------
    InvalidInputError
        If tensors and features do not fit, or a value is not what the schema allows.
    """
    columns, places = _columns(codec, tensors)
    rows = len(columns[0])
    if codec.takes_any_number and all(column.dtype.kind in "fiu" for column in columns):
        matrix = np.empty((rows, len(columns)), "<f8")
        for place, column in enumerate(columns):
            matrix[:, place] = column
        right = np.isfinite(matrix)
        right[:, list(codec.nullable)] |= np.isnan(matrix[:, list(codec.nullable)])
        if right.all():
            raw, width = matrix.tobytes(), 8 * len(columns)
            return [raw[start : start + width] for start in range(0, len(raw), width)]
    plain = [_plain(column, kind) for column, kind in zip(columns, codec.kinds, strict=True)]
    return [
        _checked(codec, list(row), number, places)
        for number, row in enumerate(zip(*plain, strict=True))
    ]


def _columns(codec: InputCodec, tensors: Sequence[Tensor]) -> tuple[list[NDArray[Any]], list[int]]:
    """The values of each feature, and the tensor in which they stand; -1 where it is absent."""
    features = codec.features
    names = [tensor.name for tensor in tensors]
    if len(tensors) == 1 and names[0] not in features:
        shape = tensors[0].shape
        if len(shape) != 2 or shape[1] != len(features) or not shape[0]:
            expected = f"[rows, {len(features)}], or a tensor for each feature by its name"
            raise InvalidInputError([FieldError("/inputs/0/shape", expected, shown(list(shape)))])
        return list(tensors[0].values.reshape(shape).T), [0] * len(features)
    errors = [
        FieldError(f"/inputs/{place}/name", f"one of {', '.join(features[:10])}, once", shown(name))
        for place, name in enumerate(names)
        if name not in features or name in names[:place]
    ]
    errors += [
        FieldError("/inputs", f"a tensor named {shown(name)}", "none")
        for name, optional in zip(features, codec.optional, strict=True)
        if name not in names and not optional
    ]
    rows = tensors[0].shape[0]
    errors += [
        FieldError(f"/inputs/{place}/shape", f"[{rows or 'at least 1'}] or [{rows}, 1]",
                   shown(list(tensor.shape)))
        for place, tensor in enumerate(tensors)
        if not rows or tensor.shape not in ((rows,), (rows, 1))
    ]  # fmt: skip
    if errors:
        raise InvalidInputError(errors)
    places = [names.index(name) if name in names else -1 for name in features]
    absent = np.full(rows, np.nan)
    return [absent if place < 0 else tensors[place].values for place in places], places


def _plain(column: NDArray[Any], kind: str) -> list[Any]:
    """A column as JSON would give it: NaN is null, and a boolean may travel as 0 and 1."""
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        values = [None if math.isnan(value) else value for value in values]
    if kind == "boolean":
        values = [bool(v) if v in (0, 1) and not isinstance(v, str) else v for v in values]
    elif column.dtype.kind == "b":
        values = [int(value) for value in values]
    return values


def _checked(codec: InputCodec, row: list[Any], number: int, places: Sequence[int]) -> bytes:
    try:
        return codec.check(row, "")
    except InvalidInputError as error:
        told = []
        for one in error.errors:
            feature = int(one.path.rpartition("/")[2])
            received = f"{one.received} in row {number}"
            expected = f"{codec.features[feature]}: {one.expected}"
            told.append(FieldError(f"/inputs/{max(places[feature], 0)}/data", expected, received))
        raise InvalidInputError(told) from error


def write_answer(
    request: InferRequest, predictions: Sequence[Prediction], *, model: str, datatype: str
) -> tuple[bytes, int | None]:
    """An answer's body, and the length of its JSON where binary data follow it.

    Parameters
    ----------
    predictions
        At least one, in the order of the rows.
    model
        As the request named it.
    datatype
        Of the outputs, as the model's metadata name it.
    """
    first = predictions[0]
    versions = {one.version for one in predictions}
    behind: list[bytes] = []
    outputs = []
    for name, kind, values in _outputs(predictions, datatype):
        if not request.wants(name):
            continue
        one: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(values.shape)}
        if request.is_binary(name):
            behind.append(to_binary(kind, values))
            one["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            one["data"] = to_json(values)
        outputs.append(one)
    body: dict[str, Any] = {"model_name": model}
    if len(versions) == 1:
        body["model_version"] = first.version.partition(":")[2]
    if request.form.id:
        body["id"] = request.form.id
    body["parameters"] = {
        "application": first.route.application.name,
        "revision": first.route.revision,
    }
    body["outputs"] = outputs
    text = msgspec.json.encode(body)
    return (text + b"".join(behind), len(text)) if behind else (text, None)


def _outputs(
    predictions: Sequence[Prediction], datatype: str
) -> list[tuple[str, str, NDArray[Any]]]:
    outputs = [msgspec.json.decode(one.output) for one in predictions]
    found: list[tuple[str, str, NDArray[Any]]] = [("output", *as_datatype(datatype, outputs))]
    known = [one.scores for one in predictions if one.scores is not None]
    # Versions that know different classes have no common shape; a default answer has no scores.
    if len({len(scores) for scores in known}) == 1:
        missing = np.full(len(known[0]) // 8, np.nan).tobytes()
        scores = b"".join(missing if p.scores is None else p.scores for p in predictions)
        matrix = np.frombuffer(scores, "<f8").reshape(len(predictions), -1)
        found.append(("scores", "FP64", matrix))
    ids = np.array([text_of(one.id) for one in predictions], object)
    default = np.array([one.reason is not Outcome.ANSWERED for one in predictions], bool)
    versions = np.array([one.version for one in predictions], object)
    return [*found, (ALWAYS, "BYTES", ids), ("default", "BOOL", default),
            ("version", "BYTES", versions)]  # fmt: skip
