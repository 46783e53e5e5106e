"""The whole path of a prediction against an echo, handlers written by hand and peers, in turns.

Run ``python benchmarks/serving.py [--json FILE]``, best on an idle machine. Ours runs with
everything on: HTTP, checks of key and input, replica process, batching, journal, shipping into
Postgres, monitor. The handlers by hand are FastAPI with the same model inline: `fastapi` records
nothing, `insert` waits for an INSERT. MLServer, BentoML, LitServe and mosec serve the same file
with their own batching and record nothing; each has an environment of its own, made once in the
user's cache folder. The model is a logistic regression on 20 numbers, so the path is what is
measured. The load comes from wrk (``apt-get install wrk``), else `benchmarks/load.py`.
"""

import argparse
import io
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import joblib
import numpy as np
import psutil
from calling import Call, load, tool
from handwritten import FEATURES
from peers.environments import environment
from peers.servers import PEERS, Peer
from sklearn.linear_model import LogisticRegression

from leadsman.demo.service import Service
from leadsman.embedded_postgres import EmbeddedPostgres

CONNECTIONS = (1, 16, 64)
HERE = Path(__file__).parent
ROW = [round(float(value), 4) for value in np.random.default_rng(11).normal(size=FEATURES)]
PARTS = ("serving", "serving.replica", "monitor", "postgres")
"""Modules and programs by which a process of ours is known."""

Seen = dict[str, dict[int, dict[str, float]]]
"""By server and connections: the medians of all turns."""


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


def measure(target: Target, connections: int, seconds: float) -> dict[str, float]:
    """Load one server once."""
    load(target.call, connections, 1)
    before = cpu_seconds(target.process)
    figures = load(target.call, connections, seconds)
    used = {
        part: spent - before.get(part, 0.0) for part, spent in cpu_seconds(target.process).items()
    }
    if figures.errors or not figures.requests:
        raise SystemExit(f"{target.name}: {figures.errors} errors in {figures.requests} answers")
    told = {name: getattr(figures, name) for name in ("per_second", "p50_ms", "p99_ms")}
    told["cpu_us"] = sum(used.values()) / figures.requests * 1e6
    if target.parts:
        told |= {f"cpu_us_{part}": used[part] / figures.requests * 1e6 for part in used}
    return told


def train(file: Path) -> None:
    """Write the model that everybody serves."""
    rows = np.random.default_rng(7).normal(size=(1_000, FEATURES))
    data = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, (rows.sum(axis=1) > 0).astype(int)), data)
    file.write_bytes(data.getvalue())


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


def rounds(targets: list[Target], turns: int, seconds: float) -> Seen:
    """Measure every server at every load, in turns, so that the machine's moods hit all alike."""
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    for turn in range(turns):
        for connections in CONNECTIONS:
            for target in targets:
                one = measure(target, connections, seconds)
                seen.setdefault((target.name, connections), []).append(one)
                told = f"turn {turn + 1}: {target.name} at {connections}: {one['per_second']:.0f}/s"
                print(told, file=sys.stderr)
    found: Seen = {}
    for (name, connections), runs in seen.items():
        figures = {key: median(run.get(key, 0.0) for run in runs) for key in runs[0]}
        found.setdefault(name, {})[connections] = figures
    return found


def ratios(found: Seen, connections: int, ours: str = "leadsman") -> dict[str, float]:
    """Our requests a second over those of each other server."""
    rate = found[ours][connections]["per_second"]
    others = [name for name in found if not name.startswith("leadsman")]
    return {name: rate / found[name][connections]["per_second"] for name in others}


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached."""

    reached: float | None
    gate: float
    aim: float
    most: bool = False
    """Whether the figure is to be at most that, not at least."""

    @property
    def is_met(self) -> bool | None:
        """Whether the gate is reached; none where a server was left out."""
        if self.reached is None:
            return None
        return self.reached <= self.gate if self.most else self.reached >= self.gate


def goals(found: Seen) -> dict[str, Goal]:
    """Hold what was seen against what is to be reached."""

    def over(ours: str, other: str, figure: str = "per_second", connections: int = 64) -> Any:
        if other not in found or ours not in found:
            return None
        return found[ours][connections][figure] / found[other][connections][figure]

    return {
        "share of the echo at 64": Goal(over("leadsman", "asgi_echo"), 0.30, 0.50),
        "over FastAPI by hand at 64": Goal(over("leadsman", "handwritten_fastapi"), 2.5, 4.5),
        "durable before the answer, over an INSERT by hand at 64": Goal(
            over("leadsman_before", "handwritten_insert"), 5.0, 10.0
        ),
        "durable before the answer, over FastAPI without a record at 64": Goal(
            over("leadsman_before", "handwritten_fastapi"), 1.5, 3.0
        ),
        "over mosec at 64": Goal(over("leadsman", "mosec"), 0.25, 0.5),
        "over mosec at 16": Goal(over("leadsman", "mosec", connections=16), 1.5, 2.5),
        **{
            f"over {name} at 64": Goal(over("leadsman", name), 4.0, 8.0)
            for name in ("mlserver", "bentoml", "litserve")
        },
        "p50 over FastAPI's by hand at 1": Goal(
            over("leadsman", "handwritten_fastapi", "p50_ms", 1), 1.5, 1.0, most=True
        ),
        "cache hits, share of the echo at 64": Goal(over("leadsman_cached", "asgi_echo"), 0.5, 0.8),
    }


def table(found: Seen) -> str:
    """Lay the figures out for people."""
    lines = [f"{'server':22}{'conns':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs/req':>12}"]
    for name, loads in found.items():
        for connections, one in loads.items():
            parts = [
                f"{part} {one[f'cpu_us_{part}']:.0f}" for part in PARTS if f"cpu_us_{part}" in one
            ]
            lines.append(
                f"{name:22}{connections:6d}{one['per_second']:9.0f}{one['p50_ms']:9.2f}"
                f"{one['p99_ms']:9.2f}{one['cpu_us']:12.0f}  {', '.join(parts)}".rstrip()
            )
    for connections in CONNECTIONS:
        told = ", ".join(f"{v:.2f} × {n}" for n, v in ratios(found, connections).items())
        lines.append(f"leadsman at {connections} connections: {told}")
    for name, goal in goals(found).items():
        if goal.reached is not None:
            sign = "at most" if goal.most else "at least"
            met = "met" if goal.is_met else "MISSED"
            lines.append(
                f"{name}: {goal.reached:.2f} ({sign} {goal.gate:g}, aim {goal.aim:g}): {met}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="all by default"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    asked = parser.parse_args()
    for name in asked.peers:
        environment(name)
    folder = Path(tempfile.mkdtemp(prefix="leadsman-bench-"))
    try:
        model = folder / "model.joblib"
        train(model)
        with ExitStack() as stack:
            enter = stack.enter_context
            servers = [
                enter(handwritten("echo", "asgi_echo", model)),
                enter(handwritten("fastapi", "handwritten_fastapi", model)),
            ]
            url = enter(postgres(folder / "by_hand"))
            servers.append(enter(handwritten("insert", "handwritten_insert", model, url)))
            servers += [enter(peer(name, folder, model)) for name in asked.peers]
            ours = {"leadsman": "journal", "leadsman_before": "before"}
            servers += enter(leadsman(folder / "data", model, ours, {}))
            cache = {"SERVING_CACHE_BYTES": str(2**24)}
            servers += enter(
                leadsman(folder / "cached", model, {"leadsman_cached": "journal"}, cache)
            )
            found = rounds(servers, asked.turns, asked.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(found))
    if asked.json:
        figures = {
            "command": "python benchmarks/serving.py --json benchmarks/results/serving.json",
            "load_generator": f"{tool()}, on the same machine",
            "python": platform.python_version(),
            "cores": psutil.cpu_count(),
            "turns": asked.turns,
            "seconds": asked.seconds,
            **{
                f"ratio_at_{connections}": ratios(found, connections) for connections in CONNECTIONS
            },
            "targets": {
                name: {**asdict(one), "met": one.is_met} for name, one in goals(found).items()
            },
            "servers": found,
        }
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
