"""Inputs of requests as columns, and what a reference says each column looks like."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Bools, Ints
from monitor.feed.texts import Texts, parsed
from monitor.records import Feature, InputSchema

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Values of features: numbers, 0 or 1 for booleans, codes of categories for strings."""

    values: Matrix
    """Shape (n, features); NaN where there is no value."""
    wrong: Bools
    """Shape (n, features): a value of a type that the schema does not state."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """Categories behind the codes."""


@dataclass(frozen=True, slots=True)
class InputColumns(Texts):
    """Inputs that are columns already, as in a file: read when they are asked for."""

    read: Callable[[Ints], Columns] | None = None
    """Given numbers of rows, which stand in `start`."""

    def take(self, rows: Ints | Bools) -> "InputColumns":
        """Some of them."""
        return InputColumns(self.data, self.start[rows], self.length[rows], self.read)


def category_code(text: str) -> int:
    """Code of a category, the same everywhere and for ever."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def read_inputs(inputs: Texts, schema: InputSchema) -> Columns:
    """Decode the blocks of one schema's rows."""
    if isinstance(inputs, InputColumns):
        assert inputs.read is not None
        return inputs.read(inputs.start)
    count = len(schema.features)
    if schema.encoding == "float64":
        whole = inputs.length == 8 * count
        values = np.full((len(inputs), count), np.nan)
        wrong = np.zeros((len(inputs), count), np.bool_)
        if count:
            values[whole] = inputs.take(whole).floats(count)
        wrong[~whole] = True
        return Columns(values, wrong)
    rows = [parsed_row(inputs.at(row), count) for row in range(len(inputs))]
    return columns_of(rows, schema.features)


def parsed_row(block: bytes, count: int) -> Sequence[Any]:
    """Values of one row; as many nulls where the block holds no such row."""
    try:
        row = msgspec.json.decode(block)
    except msgspec.DecodeError:
        row = None
    return row if isinstance(row, list) and len(row) == count else [None] * count


def columns_of(rows: Sequence[Sequence[Any]], features: Sequence[Feature]) -> Columns:
    """Columns of rows as JSON reads them."""
    values = np.full((len(rows), len(features)), np.nan)
    wrong = np.zeros((len(rows), len(features)), np.bool_)
    texts: dict[int, str] = {}
    for place, (feature, column) in enumerate(zip(features, zip(*rows, strict=True), strict=True)):
        if feature.kind == "string":
            codes = {one: category_code(one) for one in set(column) if isinstance(one, str)}
            texts |= {code: one for one, code in codes.items()}
            values[:, place] = [codes.get(one, np.nan) for one in column]
        else:
            values[:, place] = [
                one if isinstance(one, bool | int | float) else np.nan for one in column
            ]
        none = [one is None for one in column]
        wrong[:, place] = np.isnan(values[:, place]) & ~np.array(none, np.bool_)
    return Columns(values, wrong, texts)


def codes_of(column: Texts) -> tuple[Matrix, dict[int, str]]:
    """Codes of classes written as JSON texts, shape (n,), and the classes behind them."""
    texts, code = column.distinct()
    names = [class_name(text) for text in texts]
    numbers = [float("nan") if name is None else category_code(name) for name in names]
    known = {category_code(name): name for name in names if name is not None}
    return np.array([*numbers, np.nan])[code], known


def class_name(text: bytes) -> str | None:
    """A class as people write it: 1 and 1.0 are one."""
    value = parsed(text)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@dataclass(frozen=True, slots=True)
class Profile:
    """What the reference rows of a version say about each of its features."""

    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, Ints] = field(default_factory=dict)
    """Codes of the categories that were seen, rising."""


ROOM = 0.1
"""Share of the reference's span by which a value may lie outside it."""


def profile_of(columns: Columns, features: Sequence[Feature]) -> Profile:
    """Ranges of numbers and categories of strings."""
    low, high, known = {}, {}, {}
    for place, feature in enumerate(features):
        values = columns.values[:, place]
        values = values[~np.isnan(values)]
        if not len(values):
            continue
        if feature.kind == "string":
            known[feature.name] = np.unique(values.astype(np.int64))
        elif feature.is_numeric:
            least, most = float(values.min()), float(values.max())
            room = ROOM * (most - least)
            low[feature.name], high[feature.name] = least - room, most + room
    return Profile(low, high, known)


def faults(columns: Columns, features: Sequence[Feature], profile: Profile) -> Matrix:
    """Shape (n, features): 1 where a value is missing, of a wrong type, out of range or unseen."""
    values = columns.values
    bad = np.isnan(values) | columns.wrong
    for place, feature in enumerate(features):
        limits = [
            (np.less, feature.low),
            (np.less, profile.low.get(feature.name)),
            (np.greater, feature.high),
            (np.greater, profile.high.get(feature.name)),
        ]
        for beyond, limit in limits:
            if limit is not None:
                bad[:, place] |= beyond(values[:, place], limit)
        known = profile.known.get(feature.name)
        if known is not None:
            bad[:, place] |= ~np.isin(values[:, place], known)
    return bad.astype(np.float64)
