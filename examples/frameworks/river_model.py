"""An online model of river: what it knows today; feedback teaches the versions to come."""

import pickle
import sys
from pathlib import Path

from payments import FEATURES, payments
from river import compose, linear_model, preprocessing


def train(folder: Path) -> Path:
    """Let it learn some rows, and store it in a folder."""
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    rows, labels = payments(500)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        model.learn_one(dict(zip(FEATURES, row, strict=True)), label)
    path = folder / "fraud-river.pkl"
    path.write_bytes(pickle.dumps(model))
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
