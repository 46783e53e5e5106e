"""Reference rows of a CSV or Parquet file, as the admin API takes them."""

import csv
import gzip
from pathlib import Path
from typing import Any, TextIO

from leadsman.errors import CommandError

Reference = dict[str, Any]


def read_reference(file: Path, *, label: str | None, output: str | None) -> Reference:
    """Read rows in time order.

    Parameters
    ----------
    file
        CSV (also .gz) or Parquet; every column that is neither label nor output is a feature.
    label, output
        Names of those columns; none where the file has none.

    Returns
    -------
    dict
        Body of PUT …/reference: `rows`, and `labels` and `outputs` where there are such columns.
    """
    if not file.is_file():
        raise CommandError(f"no file {file}")
    columns = _parquet(file) if file.suffix == ".parquet" else _csv(file)
    for name in (label, output):
        if name is not None and name not in columns:
            raise CommandError(f"{file} has no column {name!r}; it has {', '.join(columns)}")
    features = [name for name in columns if name not in (label, output)]
    if not features or not columns[features[0]]:
        raise CommandError(f"{file} has no rows")
    values = zip(*(columns[name] for name in features), strict=True)
    reference: Reference = {"rows": [dict(zip(features, row, strict=True)) for row in values]}
    if label is not None:
        reference["labels"] = columns[label]
    if output is not None:
        reference["outputs"] = columns[output]
    return reference


def _parquet(file: Path) -> dict[str, list[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        found: dict[str, list[Any]] = parquet.read_table(file).to_pydict()
    except ArrowException as error:
        raise CommandError(f"{file} is no Parquet file: {error}") from error
    return found


def _csv(file: Path) -> dict[str, list[Any]]:
    try:
        with _opened(file) as text:
            reader = csv.reader(text)
            names = next(reader, None)
            if not names:
                raise CommandError(f"{file} is empty")
            columns: dict[str, list[Any]] = {name: [] for name in names}
            for row in reader:
                if len(row) != len(names):
                    raise CommandError(
                        f"{file} line {reader.line_num}: expected {len(names)} fields, "
                        f"received {len(row)}"
                    )
                for name, value in zip(names, row, strict=True):
                    columns[name].append(_value(value))
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile) as error:
        raise CommandError(f"{file} is no CSV file in UTF-8: {error}") from error
    return columns


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _value(text: str) -> Any:
    """Read a field: empty is null; whole and decimal numbers are numbers; all else is text."""
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
