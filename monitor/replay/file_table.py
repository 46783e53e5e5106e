"""A CSV or Parquet file as columns of numbers, moments and categories."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from monitor.errors import InvalidRowsError
from monitor.feed.columns import Ints
from monitor.records import Feature
from monitor.replay.columns import CodedTexts, FeatureColumns
from monitor.signals.inputs import category_code

Floats = NDArray[np.float64]
NEVER = np.iinfo(np.int64).max
"""After every moment: when a label became known that did not."""


def read_table(path: Path) -> pa.Table:
    """The whole file.

    Raises
    ------
    InvalidRowsError
        If there is no such file, or it holds no rows in CSV or Parquet.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pyarrow.parquet.read_table(path)
        else:
            table = pyarrow.csv.read_csv(path)
    except FileNotFoundError as error:
        raise InvalidRowsError(str(path), "a file", "none of that name") from error
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        # What is no text may hold anything, also what a terminal obeys.
        said = "".join(one if one.isprintable() else "?" for one in str(error))[:MOST_SAID]
        raise InvalidRowsError(str(path), "rows in CSV or Parquet", said) from error
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if table.column_names.count(name) > 1:
            raise InvalidRowsError(f"{path}, column {name}", "a name of its own", "it twice")
        if pa.types.is_nested(kind):
            expected = "numbers, texts, times, true or false"
            raise InvalidRowsError(f"{path}, column {name}", expected, str(kind))
    return table


MOST_SAID = 200
"""Characters of what a reader of files says."""


def is_number(kind: Any) -> bool:
    """Whether a column holds numbers."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or _is_decimal(kind))


def _is_decimal(kind: Any) -> bool:
    return bool(pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def numbers(path: Path, table: pa.Table, name: str) -> Floats:
    """A column of numbers; NaN where there is none."""
    column = table[name]
    if pa.types.is_null(column.type):
        return np.full(table.num_rows, np.nan)
    if not (is_number(column.type) or pa.types.is_boolean(column.type)):
        raise InvalidRowsError(f"{path}, column {name}", "numbers", str(column.type))
    if column.type != pa.float64():
        column = pc.cast(column, pa.float64(), safe=False)
    # Nulls become NaN.
    return np.asarray(column.to_numpy(), np.float64)


def moments(path: Path, table: pa.Table, name: str, *, optional: bool = False) -> Ints:
    """A column of times, as microseconds since 1970; plain numbers are seconds.

    Parameters
    ----------
    optional
        Whether rows may have none, which then stands as the largest number.
    """
    column = table[name]
    kind = column.type
    try:
        if _is_text(kind):
            column = pc.cast(column, pa.timestamp("us", "UTC"))
            kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            column = pc.cast(column, pa.timestamp("us"), safe=False)
            column = pc.cast(column, pa.int64())
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            column = pc.multiply(pc.cast(column, pa.float64()), 1e6)
            column = pc.cast(pc.round(column), pa.int64(), safe=False)
        elif pa.types.is_null(kind):
            column = pc.cast(column, pa.int64())
        else:
            raise InvalidRowsError(f"{path}, column {name}", "times", str(kind))
    except pa.ArrowInvalid as error:
        raise InvalidRowsError(f"{path}, column {name}", "times", str(error)) from error
    if column.null_count and not optional:
        row = pc.index(pc.is_null(column), True).as_py()
        raise InvalidRowsError(f"{path}, row {row}", f"a time in {name}", None)
    filled = pc.fill_null(column, pa.scalar(NEVER, pa.int64())) if column.null_count else column
    return np.asarray(filled.to_numpy(), np.int64)


def categories(table: pa.Table, name: str, *, as_text: bool = False) -> CodedTexts:
    """A column of classes, each as a JSON text.

    Parameters
    ----------
    as_text
        Whether numbers are to be taken as their texts.
    """
    code, values = _coded(table[name])
    if as_text:
        values = [None if one is None else _told(one) for one in values]
    texts = [msgspec.json.encode(one) for one in values]
    distinct = list(dict.fromkeys(texts))
    place = np.array([*(distinct.index(text) for text in texts), -1], np.int64)
    return CodedTexts.coded(place[code], distinct)


def _told(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _coded(column: pa.ChunkedArray) -> tuple[Ints, list[Any]]:
    """Number of each row's value, -1 for none, and the values, in order of appearance."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int64), []
    whole = pc.dictionary_encode(column).combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.unify_dictionaries().combine_chunks()
    code = pc.fill_null(pc.cast(whole.indices, pa.int64()), pa.scalar(-1, pa.int64()))
    return np.asarray(code.to_numpy(zero_copy_only=False), np.int64), whole.dictionary.to_pylist()


def contexts(table: pa.Table, prefix: str) -> CodedTexts:
    """The columns `context.KEY` as JSON objects; none where a row has no key."""
    found = [name for name in table.column_names if name.startswith(prefix)]
    code, objects = np.zeros(table.num_rows, np.int64), [dict[str, Any]()]
    for name in found:
        mine, values = _coded(table[name])
        pairs, code = np.unique(code * (len(values) + 1) + mine + 1, return_inverse=True)
        key = name.removeprefix(prefix)
        made = []
        for pair in pairs.tolist():
            before, value = divmod(pair, len(values) + 1)
            made.append(objects[before] | ({key: values[value - 1]} if value else {}))
        objects = made
    texts = [msgspec.json.encode(one) for one in objects]
    empty = np.array([not one for one in objects])
    return CodedTexts.coded(np.where(empty[code], -1, code), texts)


def features_of_file(
    path: Path, table: pa.Table, names: list[str]
) -> tuple[tuple[Feature, ...], FeatureColumns]:
    """Features with their kinds, and all their values."""
    described, columns = [], []
    texts: dict[int, str] = {}
    for name in names:
        kind = table[name].type
        if is_number(kind) or pa.types.is_null(kind):
            described.append(Feature(name, "number"))
            columns.append(numbers(path, table, name))
        elif pa.types.is_boolean(kind):
            described.append(Feature(name, "boolean"))
            columns.append(numbers(path, table, name))
        else:
            described.append(Feature(name, "string"))
            code, values = _coded(table[name])
            told = [str(value) for value in values]
            codes = [category_code(one) for one in told]
            texts |= dict(zip(codes, told, strict=True))
            columns.append(np.array([*codes, np.nan], np.float64)[code])
    return tuple(described), FeatureColumns(tuple(columns), texts)
