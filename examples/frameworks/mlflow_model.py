"""A model of scikit-learn in a folder of MLflow, with a signature and an example of its inputs."""

import sys
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from payments import FEATURES, payments
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    rows, labels = payments(2_000)
    frame = pd.DataFrame(rows, columns=list(FEATURES))
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, labels)
    path = folder / "fraud-mlflow"
    mlflow.sklearn.save_model(
        fitted, path, signature=infer_signature(frame, fitted.predict(frame)),
        input_example=frame[:50], pip_requirements=["scikit-learn", "pandas"],
    )  # fmt: skip
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
