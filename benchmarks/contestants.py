"""The servers of `benchmarks/serving.py`: started on one model, asked over HTTP, ended."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import psutil
from calling import Call
from handwritten import FEATURES
from peers.servers import PEERS, Peer

from leadsman.demo.service import Service
from leadsman.embedded_postgres import EmbeddedPostgres

HERE = Path(__file__).parent
ROW = [round(float(value), 4) for value in np.random.default_rng(11).normal(size=FEATURES)]
PARTS = ("serving", "serving.replica", "monitor", "postgres")
"""Modules and programs by which a process of ours is known."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    name: str
    call: Call
    process: int
    """Its root; the CPU time of all its descendants counts."""
    parts: bool = field(default=False)
    """Whether its CPU time is told by part."""


def cpu_seconds(process: int) -> dict[str, float]:
    """CPU time of a process and all that it started, by part."""
    found: dict[str, float] = {}
    root = psutil.Process(process)
    for one in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            words, times = one.cmdline(), one.cpu_times()
            # A Postgres writes what it does in place of its command line.
            names = [Path(word.rstrip(":")).name for word in words[:4]] or [""]
            part = next((part for part in PARTS if part in names), "other")
            part = "postgres" if names[0].startswith("postgres") else part
            found[part] = found.get(part, 0.0) + times.user + times.system
    return found


def train(file: Path, model: Any) -> None:
    """Write a model that everybody serves."""
    rows = np.random.default_rng(7).normal(size=(1_000, FEATURES))
    data = io.BytesIO()
    joblib.dump(model.fit(rows, (rows.sum(axis=1) > 0).astype(int)), data)
    file.write_bytes(data.getvalue())


def floor_us(file: Path, rows: int) -> float:
    """CPU time of a row in full batches and nothing else, in microseconds."""
    model = joblib.load(file)
    block = np.tile(np.array(ROW), (rows, 1))
    spent = []
    for _ in range(10):
        began = time.process_time()
        model.predict_proba(block)
        spent.append(time.process_time() - began)
    return min(spent) / rows * 1e6


@contextmanager
def handwritten(kind: str, name: str, model: Path, *more: str) -> Iterator[Target]:
    """Run one of the servers that we are measured against."""
    [port] = free_ports(1)
    command = [sys.executable, str(HERE / "handwritten.py"), kind, str(port)]
    process = subprocess.Popen([*command, *([] if kind == "echo" else [str(model)]), *more])
    try:
        _wait_for(port)
        yield Target(name, Call(port, "/predict", {"input": ROW}), process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A database for the handler that inserts."""
    database = EmbeddedPostgres(folder)
    url = database.start()
    try:
        yield url
    finally:
        database.stop()


@contextmanager
def peer(name: str, folder: Path, model: Path) -> Iterator[Target]:
    """Run a server of somebody else's on the same model."""
    own = folder / name
    own.mkdir()
    [port] = free_ports(1)
    running = PEERS[name](own, model, port, ROW)
    try:
        _wait_for_answer(name, port, running, own / "server.log")
        yield Target(name, Call(port, running.path, running.body), running.process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGTERM)
        try:
            running.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


def _wait_for_answer(name: str, port: int, running: Peer, log: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and running.process.poll() is None:
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{port}{running.path}"
            if httpx.post(url, json=running.body, timeout=5).status_code == 200:
                return
        time.sleep(0.3)
    raise SystemExit(f"{name} gives no answer:\n{log.read_text()[-2000:]}")


@contextmanager
def leadsman(
    folder: Path, model: Path, applications: dict[str, str], settings: dict[str, str]
) -> Iterator[list[Target]]:
    """Run the whole service with one version for each application.

    Parameters
    ----------
    applications
        Names, and where a record must be before its answer leaves.
    """
    port, monitor_port = free_ports(2)
    service = Service(folder, port, monitor_port, settings)
    service.start()
    try:
        targets = []
        key = service.connection.key
        for name, durability in applications.items():
            _deploy(service, name, durability, model)
            path = f"/v1/applications/{name}/predictions"
            call = Call(service.port, path, {"input": ROW}, key)
            targets.append(Target(name, call, service.pid, parts=True))
        yield targets
    finally:
        service.stop()


def _deploy(service: Service, name: str, durability: str, model: Path) -> None:
    """Make an application that the model answers for."""
    headers = {"Authorization": f"Bearer {service.connection.key}"}
    features = {f"x{number}": {"type": "number"} for number in range(FEATURES)}
    application = {
        "name": name, "task": "binary", "default_output": 0, "latency_objective_ms": 1000,
        "durability": durability, "input_schema": {"type": "object", "properties": features},
    }  # fmt: skip
    manifest = {"version": "1", "framework": "sklearn"}
    url = service.connection.serving_url
    with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        client.post("/v1/applications", json=application).raise_for_status()
        client.post(
            f"/v1/models/{name}/versions",
            data={"manifest": json.dumps(manifest)},
            files={"artefact": ("model.joblib", model.read_bytes())},
        ).raise_for_status()
        policy = {"kind": "single", "champion": f"{name}:1"}
        client.put(f"/v1/applications/{name}/route", json={"policy": policy}).raise_for_status()


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")
