"""A network as a .keras file."""

import sys
from pathlib import Path

from tensorflow_savedmodel import network


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    path = folder / "fraud.keras"
    network().save(path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
