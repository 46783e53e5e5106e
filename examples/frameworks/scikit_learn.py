"""A gradient boosting of scikit-learn, stored by joblib."""

import sys
from pathlib import Path

import joblib
from payments import payments
from sklearn.ensemble import HistGradientBoostingClassifier


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    rows, labels = payments(2_000)
    path = folder / "fraud.joblib"
    joblib.dump(HistGradientBoostingClassifier(max_iter=20).fit(rows, labels), path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
