"""Made rows of a served model with changes in them, as columns, as a file, and as a record."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
Columns = dict[str, list[Any]]


def made_rows(rows: int, *, seed: int = 1, step: timedelta = timedelta(minutes=1)) -> Columns:
    """A binary model that errs in one row of ten and is labelled five minutes later."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < 0.5).astype(int)
    output = np.where(rng.random(rows) < 0.1, 1 - truth, truth)
    at = [BEGIN + number * step for number in range(rows)]
    return {
        "predicted_at": at,
        "age": rng.normal(40, 10, rows).tolist(),
        "city": rng.choice(["Bern", "Rome", "Oslo"], rows).tolist(),
        "member": (rng.random(rows) < 0.5).tolist(),
        "output": output.tolist(),
        "score": np.clip(0.5 + 0.3 * (2 * output - 1) + rng.normal(0, 0.1, rows), 0, 1).tolist(),
        "label": truth.tolist(),
        "labelled_at": [one + timedelta(minutes=5) for one in at],
        "context.region": rng.choice(["EU", "US"], rows).tolist(),
    }


def write(columns: Mapping[str, list[Any]], path: Path) -> Path:
    """Write rows as CSV or Parquet, by the end of the name."""
    table = pa.table(dict(columns))
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)
    return path
