"""A booster of XGBoost, stored as UBJSON; its classes are named at the deployment."""

import sys
from pathlib import Path

import xgboost
from payments import FEATURES, payments


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    rows, labels = payments(2_000)
    matrix = xgboost.DMatrix(rows, labels, feature_names=list(FEATURES))
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 20)
    path = folder / "fraud.ubj"
    booster.save_model(path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
