"""Start each peer on the same model file, with its own batching switched on."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.environments import environment

HERE = Path(__file__).parent
BATCH = 64
"""Most rows of a batch, for every peer: as many as the busiest load has callers."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server of somebody else's."""

    process: "subprocess.Popen[bytes]"
    path: str
    body: Any


def _start(command: Sequence[object], folder: Path, **variables: str) -> "subprocess.Popen[bytes]":
    log = (folder / "server.log").open("wb")
    # The bin folder goes first: peers start helpers by name.
    path = f"{Path(str(command[0])).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **variables},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def mlserver(folder: Path, model: Path, port: int, row: Sequence[float]) -> Peer:
    """MLServer with one worker process and adaptive batching."""
    python = environment("mlserver")
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
        "parallel_workers": 1, "debug": False,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(
        json.dumps(
            {
                "name": "market",
                "implementation": "mlserver_sklearn.SKLearnModel",
                "parameters": {"uri": str(model)},
                "max_batch_size": BATCH,
                "max_batch_time": 0.002,
            }
        )
    )
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, len(row)], "data": list(row)}
    body = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    process = _start([python.with_name("mlserver"), "start", "."], folder)
    return Peer(process, "/v2/models/market/infer", body)


def bentoml(folder: Path, model: Path, port: int, row: Sequence[float]) -> Peer:
    """BentoML with adaptive batching."""
    python = environment("bentoml")
    (folder / "bentoml_service.py").write_text((HERE / "bentoml_service.py").read_text())
    command = [
        python.with_name("bentoml"), "serve", "bentoml_service:Market", "--host", "127.0.0.1",
        "--port", str(port), "--working-dir", ".",
    ]  # fmt: skip
    process = _start(
        command, folder, MODEL=str(model), BENTOML_HOME=str(folder / "home"),
        BENTOML_DO_NOT_TRACK="True",
    )  # fmt: skip
    return Peer(process, "/predict", {"rows": [list(row)]})


def litserve(folder: Path, model: Path, port: int, row: Sequence[float]) -> Peer:
    """LitServe with batching."""
    python = environment("litserve")
    command = [python, HERE / "litserve_server.py", str(port), str(BATCH)]
    return Peer(_start(command, folder, MODEL=str(model)), "/predict", {"row": list(row)})


def mosec(folder: Path, model: Path, port: int, row: Sequence[float]) -> Peer:
    """Run mosec with batching: its front is written in Rust."""
    python = environment("mosec")
    command = [python, HERE / "mosec_server.py", "--address", "127.0.0.1", "--port", str(port)]
    process = _start(command, folder, MODEL=str(model), BATCH=str(BATCH))
    return Peer(process, "/inference", {"row": list(row)})


PEERS: dict[str, Callable[[Path, Path, int, Sequence[float]], Peer]] = {
    "mlserver": mlserver,
    "bentoml": bentoml,
    "litserve": litserve,
    "mosec": mosec,
}
"""By name: folder for files, model file, port, one row of features → the running server."""
