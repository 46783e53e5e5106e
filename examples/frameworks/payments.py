"""Payments, made up: an amount, the age of the account in days, the hour; is it fraud?

The same rows for every example, by numpy alone, so that each runs in the environment of its own
framework.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

FEATURES = ("amount", "age", "hour")


def payments(count: int, seed: int = 1) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Draw payments.

    Returns
    -------
    tuple
        Rows of shape (count, 3), and labels: 1 is fraud.
    """
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [rng.exponential(100, count), rng.exponential(300, count), rng.integers(0, 24, count)]
    )
    risk = rows[:, 0] / 100 - rows[:, 1] / 300 + (rows[:, 2] < 6) + rng.normal(0, 0.3, count)
    return rows, (risk > 0.5).astype(np.int64)


def write_csv(file: Path, count: int = 200) -> None:
    """Write reference rows, for `leadsman deploy --reference`."""
    rows, labels = payments(count, seed=2)
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*FEATURES, "fraud"])
        writer.writerows(
            [*row, label] for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
        )


if __name__ == "__main__":
    write_csv(Path(sys.argv[1]))
