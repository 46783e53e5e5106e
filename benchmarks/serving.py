"""The whole path of a prediction against an echo, a hand-written handler and peers, in turns.

Run ``python benchmarks/serving.py [--json FILE]``. Ours runs with everything on: HTTP, checks of
key and input, replica process, journal, shipping into Postgres, monitor. The hand-written handler
is FastAPI with the same scikit-learn model inline and records nothing. MLServer, BentoML and
LitServe serve the same model file with their own batching, and record nothing either; each has an
environment of its own, made once in the user's cache folder. The load comes from
`benchmarks/load.py`, on the same machine and its cores: figures compare, they do not impress.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from peers.environments import environment
from peers.servers import PEERS, Peer

from leadsman.demo.market import TRAINED_ON, load
from leadsman.demo.releases import Releases
from leadsman.demo.service import Service
from leadsman.demo.training import train

CONNECTIONS = (1, 16, 64)
TURNS = 3
"""Rounds in which every server is measured once; the medians are told."""
SECONDS = 3.0
HERE = Path(__file__).parent
APPLICATION = "bench"


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    name: str
    port: int
    process: int
    """Its root; the CPU time of all its descendants counts."""
    request: Path


def http_request(port: int, path: str, body: object, key: str | None = None) -> bytes:
    """Form one request as it goes over the wire."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([*lines, "", ""]).encode() + content


def cpu_seconds(process: int) -> float:
    """CPU time of a process and all that it started."""
    root = psutil.Process(process)
    total = 0.0
    for one in [root, *root.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


def measure(target: Target, connections: int) -> dict[str, float]:
    """Load one server once."""
    before = cpu_seconds(target.process)
    done = subprocess.run(
        [
            *(sys.executable, str(HERE / "load.py"), str(target.port), str(target.request)),
            *("--connections", str(connections), "--seconds", str(SECONDS)),
        ],
        timeout=60,
        capture_output=True,
        text=True,
        check=True,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    if seen["bad"] or not seen["answers"]:
        raise SystemExit(f"{target.name}: {seen['bad']} bad answers, e.g. {seen['first_bad']}")
    used = cpu_seconds(target.process) - before
    # The warm-up used CPU too: relate to all answers, at the counted rate.
    answers = seen["per_second"] * (SECONDS + 0.5)
    return {
        "per_second": seen["per_second"],
        "p50_ms": seen["p50_ms"],
        "p99_ms": seen["p99_ms"],
        "cpu_us": used / answers * 1e6,
    }


@contextmanager
def handwritten(kind: str, folder: Path, model: Path, body: object) -> Iterator[Target]:
    """Run one of the servers that we are measured against."""
    [port] = free_ports(1)
    command = [sys.executable, str(HERE / "handwritten.py"), kind, str(port), str(model)]
    process = subprocess.Popen(command)
    try:
        _wait_for(port)
        request = folder / f"{kind}.http"
        request.write_bytes(http_request(port, "/predict", body))
        name = {"echo": "asgi_echo", "fastapi": "handwritten_fastapi"}[kind]
        yield Target(name, port, process.pid, request)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def peer(name: str, folder: Path, model: Path, row: list[float]) -> Iterator[Target]:
    """Run a server of somebody else's on the same model."""
    own = folder / name
    own.mkdir()
    [port] = free_ports(1)
    running = PEERS[name](own, model, port, row)
    try:
        request = own / "request.http"
        request.write_bytes(http_request(port, running.path, running.body))
        _wait_for_answer(name, port, running, own / "server.log")
        yield Target(name, port, running.process.pid, request)
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
def leadsman(folder: Path, body: object) -> Iterator[Target]:
    """Run the whole service with one version of the same model."""
    service = Service(folder / "data", *free_ports(2), {})
    service.start()
    try:
        market = load()
        releases = Releases(service.connection, APPLICATION)
        releases.make_application()
        trained = train(market.inputs[:TRAINED_ON], market.labels[:TRAINED_ON])
        version = releases.register("v1", trained)
        releases.serve({"kind": "single", "champion": version}, "benchmark")
        releases.close()
        path = f"/v1/applications/{APPLICATION}/predictions"
        request = folder / "leadsman.http"
        key = service.connection.key
        request.write_bytes(http_request(service.port, path, body, key))
        yield Target("leadsman", service.port, service.pid, request)
    finally:
        service.stop()


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def rounds(targets: list[Target]) -> dict[str, dict[int, dict[str, float]]]:
    """Measure every server at every load, in turns, so that the machine's moods hit all alike."""
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(TURNS):
        for connections in CONNECTIONS:
            for target in targets:
                seen.setdefault((target.name, connections), []).append(measure(target, connections))
    found: dict[str, dict[int, dict[str, float]]] = {}
    for (name, connections), runs in seen.items():
        figures = {key: median(run[key] for run in runs) for key in runs[0]}
        found.setdefault(name, {})[connections] = figures
    return found


def ratios(found: dict[str, dict[int, dict[str, float]]], connections: int) -> dict[str, float]:
    """Our requests a second over those of each other server."""
    ours = found["leadsman"][connections]["per_second"]
    others = [name for name in found if name != "leadsman"]
    return {name: ours / found[name][connections]["per_second"] for name in others}


def table(found: dict[str, dict[int, dict[str, float]]]) -> str:
    """Lay the figures out for people."""
    lines = [f"{'server':22}{'conns':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs/req':>12}"]
    for name, loads in found.items():
        for connections, one in loads.items():
            lines.append(
                f"{name:22}{connections:6d}{one['per_second']:9.0f}{one['p50_ms']:9.2f}"
                f"{one['p99_ms']:9.2f}{one['cpu_us']:12.0f}"
            )
    for connections in CONNECTIONS:
        told = ", ".join(f"{v:.2f} × {n}" for n, v in ratios(found, connections).items())
        lines.append(f"leadsman at {connections} connections: {told}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="all by default"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="leadsman-bench-"))
    try:
        market = load()
        body = {"input": market.row(TRAINED_ON)}
        model = folder / "model.joblib"
        trained = train(market.inputs[:TRAINED_ON], market.labels[:TRAINED_ON])
        model.write_bytes(trained.artefact)
        row = [float(value) for value in market.row(TRAINED_ON).values()]
        for name in arguments.peers:
            environment(name)
        with ExitStack() as stack:
            targets = [
                stack.enter_context(handwritten(kind, folder, model, body))
                for kind in ("echo", "fastapi")
            ]
            targets += [stack.enter_context(peer(n, folder, model, row)) for n in arguments.peers]
            targets.append(stack.enter_context(leadsman(folder, body)))
            found = rounds(targets)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(found))
    if arguments.json:
        figures = {
            "command": "python benchmarks/serving.py --json benchmarks/results/serving.json",
            "load_generator": "benchmarks/load.py, one process on the same machine",
            "python": platform.python_version(),
            "cores": psutil.cpu_count(),
            **{
                f"ratio_at_{connections}": ratios(found, connections) for connections in CONNECTIONS
            },
            "servers": found,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
