"""The same model behind BentoML; runs in BentoML's own environment."""

import os
from typing import Any

import bentoml
import joblib
import numpy as np


@bentoml.service(traffic={"timeout": 30}, workers=1)
class Market:
    """One row in, class probabilities out."""

    def __init__(self) -> None:
        self.model: Any = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]  # as above
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Answer a batch of rows."""
        return np.asarray(self.model.predict_proba(rows))
