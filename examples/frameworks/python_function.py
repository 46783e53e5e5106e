"""A function of Python, stored by cloudpickle with what it refers to."""

import sys
from pathlib import Path
from typing import Any

import cloudpickle


def train(folder: Path) -> Path:
    """Make a rule, and store it in a folder."""
    limit = 250.0

    def suspicious(rows: list[dict[str, Any]]) -> list[int]:
        return [int(row["amount"] > limit and row["age"] < 30) for row in rows]

    suspicious.rows = "dicts"  # type: ignore[attr-defined]  # named features, not a block of numbers
    path = folder / "fraud.pkl"
    with path.open("wb") as file:
        cloudpickle.dump(suspicious, file)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
