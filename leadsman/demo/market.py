"""The electricity market: the rows that the demo plays."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsman.errors import CommandError

FILE = Path(__file__).parents[2] / "examples" / "electricity" / "electricity.csv.gz"

FEATURES = ("period", "nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")
PRICE = FEATURES.index("nsw_price")
LABEL = "up"

TRAINED_ON = 8_000
"""Rows before this one are history; v1 is trained on them and the play begins here."""

RELEASE_ROW = 9_000
"""Row at which the bad version is released."""

CHANGE_ROW = 14_000
"""About here the market changed, by itself; alarms about v1 before it are false alarms."""

LABEL_DELAY = 48
"""Rows, one day, after which the label of a row is known."""

ROWS_A_YEAR = 48 * 365.25
"""Half hours in a year."""


@dataclass(frozen=True, slots=True)
class Market:
    """All rows in time order."""

    inputs: NDArray[np.float64]
    """Shape (n, 6), in the order of `FEATURES`."""
    labels: NDArray[np.int64]
    """Shape (n,): 1 if the price is above its mean of the last 24 hours."""

    def row(self, number: int) -> dict[str, float]:
        """One input as a client sends it."""
        return dict(zip(FEATURES, self.inputs[number].tolist(), strict=True))


def load(file: Path = FILE) -> Market:
    """Read the data.

    Raises
    ------
    CommandError
        If the file is not there: it comes with the source, not with an installed package.
    """
    if not file.is_file():
        raise CommandError(f"the demo's data are not at {file}; run it from a checkout")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        header = next(reader)
        expected = [*FEATURES, LABEL]
        if header != expected:
            raise CommandError(f"{file}: expected the columns {expected}, received {header}")
        values = np.array([[float(field) for field in row] for row in reader])
    return Market(values[:, :-1], values[:, -1].astype(np.int64))


def input_schema() -> dict[str, Any]:
    """JSON Schema of one input."""
    return {
        "type": "object",
        "properties": {name: {"type": "number"} for name in FEATURES},
        "required": list(FEATURES),
        "additionalProperties": False,
    }
