"""ONNX models: the graph's inputs are read off the file."""

import mmap
from pathlib import Path

from serving.replica.inspection.description import DamagedArtefactError, Description, schema_of
from serving.replica.inspection.wire import WireError, fields, inside

IR_VERSION, PRODUCER, GRAPH, OPSETS = 1, 2, 7, 8
"""Fields of `ModelProto`."""
INPUT, INITIALIZER = 11, 5
"""Fields of `GraphProto`."""
MOST_COLUMNS = 10_000
"""A single matrix with more columns is not spelled out as named features."""

_KINDS = {1: "number", 11: "number", 6: "integer", 7: "integer", 8: "string", 9: "boolean"}
"""Type of a feature by `TensorProto.DataType`."""


def describe(artefact: Path, head: bytes) -> Description | None:
    """Say what an ONNX model tells of itself; none if the file is none."""
    if not head.startswith(b"\x08") or len(head) < 4:
        # A model begins with its `ir_version`, a number.
        return None
    # Mapped, not read: a model has up to 2 GiB, of which a few kilobytes tell its inputs.
    with artefact.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _describe(memoryview(mapped))


def _describe(view: memoryview) -> Description | None:
    seen: set[int] = set()
    graph = memoryview(b"")
    try:
        for number, value in fields(view):
            seen.add(number)
            if number == GRAPH and isinstance(value, memoryview):
                graph = value
        inputs = _inputs(graph)
    except WireError as error:
        if IR_VERSION in seen and seen & {PRODUCER, GRAPH, OPSETS}:
            raise DamagedArtefactError(f"the ONNX model is not whole: {error}") from error
        return None
    if not {IR_VERSION, GRAPH} <= seen:
        if IR_VERSION in seen and PRODUCER in seen:
            raise DamagedArtefactError("the ONNX model is not whole: it has no graph")
        return None
    schema = schema_of(inputs) if inputs else None
    return Description("onnx", "an ONNX model", runs_code=False, input_schema=schema)


def _inputs(graph: memoryview) -> list[tuple[str, str]]:
    """Features by name: each input is one, or the single input is a matrix of them."""
    constants = {bytes(name).decode() for name in inside(graph, INITIALIZER, 8)}
    found: list[tuple[str, str, int]] = []
    for value in inside(graph, INPUT):
        name = "".join(bytes(text).decode() for text in inside(value, 1))
        if name in constants:
            continue
        kind, width = "", 0
        for tensor in inside(value, 2, 1):
            for number, one in fields(tensor):
                if number == 1 and isinstance(one, int):
                    kind = _KINDS.get(one, "")
            widths = [_dimension(one) for one in inside(tensor, 2, 1)]
            width = 1 if len(widths) == 1 else widths[-1] if len(widths) == 2 else 0
        if not kind or not 0 < width <= MOST_COLUMNS:
            return []
        found.append((name, kind, width))
    if len(found) == 1 and found[0][2] > 1:
        return [(f"x{place}", found[0][1]) for place in range(found[0][2])]
    return [(name, kind) for name, kind, width in found] if all(w == 1 for *_, w in found) else []


def _dimension(dimension: memoryview) -> int:
    """Its length; 0 where it is open."""
    for number, value in fields(dimension):
        if number == 1 and isinstance(value, int):
            return value
    return 0
