"""The same model behind LitServe; runs in LitServe's own environment.

Run ``python litserve_server.py PORT BATCH`` with the model's file in ``MODEL``.
"""

import os
import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Market(litserve.LitAPI):  # type: ignore[misc]  # no types there
    """One row in, class probabilities out."""

    def setup(self, device: str) -> None:
        """Load the model, once in the worker."""
        self.model: Any = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Take the row out of the request."""
        return np.asarray(request["row"])

    def batch(self, inputs: list[Any]) -> Any:
        """Lay rows under each other."""
        return np.stack(inputs)

    def predict(self, rows: Any) -> Any:
        """Answer a batch."""
        return self.model.predict_proba(rows)

    def unbatch(self, output: Any) -> Any:
        """Give each caller its own."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Write an answer."""
        return {"scores": output.tolist()}


if __name__ == "__main__":
    api = Market(max_batch_size=int(sys.argv[2]), batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=30)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
