"""A booster of LightGBM, stored as text; its file tells the names of the features."""

import sys
from pathlib import Path

import lightgbm
from payments import FEATURES, payments


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    rows, labels = payments(2_000)
    data = lightgbm.Dataset(rows, labels, feature_name=list(FEATURES))
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    path = folder / "fraud.txt"
    lightgbm.train(settings, data, 20).save_model(path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
