"""A real serving process for a test, and a client that speaks to it."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import psutil
from sklearn.linear_model import LogisticRegression

ADMIN_KEY = "lsm_" + "a" * 43
FEATURES = ("a", "b", "c")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ServingProcess:
    """`python -m serving` over one data folder; may be ended and started again."""

    def __init__(self, database: str, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        """Of everything that it keeps."""
        self._log = folder / "serving.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **os.environ,
            "SERVING_DATABASE_URL": database,
            "SERVING_DATA_DIR": str(folder / "data"),
            "SERVING_PORT": str(self._port),
            "SERVING_ADMIN_KEY": ADMIN_KEY,
            **settings,
        }
        self.client = self.with_key(ADMIN_KEY)

    def with_key(self, key: str) -> httpx.Client:
        """A client with another key."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self._port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving"], env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                assert self._process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"not ready in a minute: {self.client.get('/readyz').text}")

    @property
    def pid(self) -> int:
        """The process itself: the one that starts the others where there are workers."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> dict[int, psutil.Process]:
        """Workers that live, by number."""
        found = {}
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.Error):
                found[int(child.environ().get("SERVING_WORKER", "0"))] = child
        return found

    def stop(self) -> None:
        """End it in the orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")


def artefact(*, inverted: bool = False, comment: str = "") -> bytes:
    """A joblib file of a classifier: the first feature's sign, or its opposite.

    With another comment the bytes are others, the answers not.
    """
    rows = np.random.default_rng(7).normal(size=(200, len(FEATURES)))
    labels = (rows[:, 0] > 0).astype(int)
    data = io.BytesIO()
    model = LogisticRegression().fit(rows, 1 - labels if inverted else labels)
    model.comment = comment
    joblib.dump(model, data)
    return data.getvalue()


def reference(*, inverted: bool = False) -> dict[str, Any]:
    """Reference rows with labels and outputs."""
    rows = np.random.default_rng(8).normal(size=(20, len(FEATURES))).tolist()
    outputs = [int((row[0] > 0) != inverted) for row in rows]
    return {
        "rows": [dict(zip(FEATURES, row, strict=True)) for row in rows],
        "labels": outputs,
        "outputs": outputs,
    }


def register(
    client: httpx.Client, version: str, data: bytes, *, file: str = "model.joblib", **manifest: Any
) -> httpx.Response:
    """Upload a version of model `m`."""
    stated = {"version": version, "framework": "sklearn", **manifest}
    return client.post(
        "/v1/models/m/versions",
        data={"manifest": json.dumps(stated)},
        files={"artefact": (file, data)},
    )


def single(champion: str) -> dict[str, Any]:
    """Body that lets one version answer."""
    return {"policy": {"kind": "single", "champion": champion}}
