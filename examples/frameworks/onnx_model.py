"""A regression of scikit-learn as an ONNX model with an input for each feature."""

import sys
from pathlib import Path

from payments import FEATURES, payments
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    import pandas as pd

    rows, labels = payments(2_000)
    columns = ColumnTransformer([("scale", StandardScaler(), list(FEATURES))])
    frame = pd.DataFrame(rows, columns=list(FEATURES))
    fitted = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    inputs = [(name, FloatTensorType([None, 1])) for name in FEATURES]
    path = folder / "fraud.onnx"
    path.write_bytes(to_onnx(fitted, initial_types=inputs).SerializeToString())
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
