"""The same model behind mosec; runs in mosec's own environment, its options on the command line."""

import os
from typing import Any

import joblib
import numpy as np
from mosec import Server, Worker


class Market(Worker):  # type: ignore[misc]  # no types there
    """One row in, class probabilities out."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Any = joblib.load(os.environ["MODEL"])

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer a batch."""
        rows = np.asarray([one["row"] for one in data])
        return [{"scores": one} for one in self.model.predict_proba(rows).tolist()]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Market, num=1, max_batch_size=int(os.environ["BATCH"]), max_wait_time=2)
    server.run()
