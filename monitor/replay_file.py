"""Rows of a CSV or Parquet file as observations of the loss.

Columns: `predicted_at`, `output`, and if there are any `label`, `labelled_at`, `version`; all
others are
features and are left alone here. A label without `labelled_at` counts as known at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from monitor.columns import ids_of
from monitor.errors import InvalidRowsError
from monitor.signals import Observations
from monitor.signals.base import coded

CHUNK = 20_000
"""Rows fed to the watches at once."""
MANY_VALUES = 20
"""Numeric labels with more values than this are a regression's."""

Reference = Callable[[str], Sequence[float] | None]
"""Losses of a subject on its reference rows."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """What a file holds, in the order in which labels became known."""

    rows: int
    task: str
    versions: list[str]
    row: NDArray[np.int64]
    """Number in the file of each tested row, from 0."""
    at: NDArray[np.int64]
    """When its label became known, microseconds since 1970."""
    version: NDArray[np.int64]
    losses: NDArray[np.float64]
    references: dict[str, list[float]]

    @property
    def tested(self) -> int:
        """Rows that are tested: labelled, and not part of the reference."""
        return len(self.row)

    def reference(self, subject: str) -> Sequence[float] | None:
        """Losses of a version on its reference rows."""
        return self.references.get(subject) or None

    def version_of(self, subject: str) -> str:
        """Name of a version."""
        return self.versions[int(subject)]

    def observations(self) -> Iterator[Observations]:
        """The rows in stretches."""
        for start in range(0, len(self.row), CHUNK):
            part = slice(start, start + CHUNK)
            rows = self.row[part]
            code, names = coded(self.version[part])
            # The number of a row stands for its prediction's id.
            ids = np.zeros((len(rows), 2), ">i8")
            ids[:, 1] = rows
            yield Observations(
                event=rows,
                at=self.at[part],
                prediction=ids_of(ids.view(np.uint8)),
                code=code,
                names=names,
                value=self.losses[part],
                revision=np.zeros(len(rows), np.int64),
            )


def read_file(path: Path, *, task: str | None, reference_rows: int) -> FileRows:
    """Read a file and split it into reference and tested rows.

    Parameters
    ----------
    task
        binary, multiclass or regression; told from the labels when absent.
    reference_rows
        First labelled rows of each version that become its reference.
    """
    table = _table(path)
    for name in ("predicted_at", "output", "label"):
        if name not in table.column_names:
            raise InvalidRowsError(str(path), f"a column {name}", table.column_names)
    predicted = _moments(path, table, "predicted_at")
    known = predicted
    if "labelled_at" in table.column_names:
        labelled = _moments(path, table, "labelled_at")
        known = np.where(labelled == NO_TIME, predicted, labelled)
    if (predicted == NO_TIME).any():
        row = int(np.argmax(predicted == NO_TIME))
        raise InvalidRowsError(f"{path}, row {row}", "a time in predicted_at", None)
    task = task or _task(table)
    losses = _losses(path, table, task)
    names = _versions(table)
    order = np.argsort(known, kind="stable")
    order = order[~np.isnan(losses[order])]
    versions = sorted(set(names))
    code = {name: number for number, name in enumerate(versions)}
    codes = np.array([code[name] for name in names], np.int64)
    rank = np.zeros(len(order), np.int64)
    references: dict[str, list[float]] = {}
    for number in range(len(versions)):
        mine = codes[order] == number
        rank[mine] = np.arange(int(mine.sum()))
        first = order[mine][:reference_rows]
        if len(first):
            references[str(number)] = losses[first].tolist()
    tested = order[rank >= reference_rows]
    return FileRows(
        table.num_rows,
        task,
        versions,
        tested,
        known[tested],
        codes[tested],
        losses[tested],
        references,
    )


NO_TIME = np.iinfo(np.int64).min
"""A missing time."""


def _table(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pyarrow.parquet.read_table(path)
        return pyarrow.csv.read_csv(path)
    except FileNotFoundError as error:
        raise InvalidRowsError(str(path), "a file", "none of that name") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRowsError(str(path), "rows in CSV or Parquet", str(error)) from error


def _moments(path: Path, table: pa.Table, name: str) -> NDArray[np.int64]:
    column = table[name]
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.cast(column, pa.timestamp("us", "UTC"))
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("us", "UTC"), safe=False)
            column = pc.cast(column, pa.int64())
        elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            # Plain numbers are seconds since 1970.
            column = pc.cast(pc.multiply(column, 1_000_000), pa.int64(), safe=False)
        else:
            raise InvalidRowsError(str(path), f"times in {name}", str(column.type))
    except pa.ArrowInvalid as error:
        raise InvalidRowsError(str(path), f"times in {name}", str(error)) from error
    filled = pc.fill_null(column, pa.scalar(int(NO_TIME), pa.int64()))
    return np.asarray(filled.to_numpy(), np.int64)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _task(table: pa.Table) -> str:
    distinct = pc.count_distinct(table["label"]).as_py()
    if _is_number(table["label"].type) and distinct > MANY_VALUES:
        return "regression"
    return "binary" if distinct <= 2 else "multiclass"


def _losses(path: Path, table: pa.Table, task: str) -> NDArray[np.float64]:
    output, label = table["output"], table["label"]
    if task == "regression":
        if not (_is_number(output.type) and _is_number(label.type)):
            raise InvalidRowsError(
                str(path), "numbers in output and label", f"{output.type}, {label.type}"
            )
        wrong = pc.abs(pc.subtract(pc.cast(output, pa.float64()), pc.cast(label, pa.float64())))
    else:
        if output.type != label.type:
            both = (
                pa.float64() if _is_number(output.type) and _is_number(label.type) else pa.string()
            )
            output, label = pc.cast(output, both), pc.cast(label, both)
        wrong = pc.cast(pc.not_equal(output, label), pa.float64())
    return np.asarray(pc.fill_null(wrong, float("nan")).to_numpy(), np.float64)


def _versions(table: pa.Table) -> list[str]:
    if "version" not in table.column_names:
        return ["1"] * table.num_rows
    return [str(v) for v in pc.fill_null(pc.cast(table["version"], pa.string()), "1").to_pylist()]
