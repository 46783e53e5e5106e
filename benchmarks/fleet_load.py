"""What the benchmarks of a running service share: two models that disagree, and load from wrk.

wrk (https://github.com/wg/wrk) makes the load where it is installed, `benchmarks/load.py` where
not; only with wrk is each answer looked at and its id written down.
"""

import asyncio
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import joblib
import numpy as np
import psutil
from calling import parse, tool
from sklearn.linear_model import LogisticRegression

from leadsman.demo.service import Service

HERE = Path(__file__).parent
APPLICATION = "bench"
PREDICTIONS = f"/v1/applications/{APPLICATION}/predictions"
ROUTE = f"/v1/applications/{APPLICATION}/route"
ROLLBACK = f"/v1/applications/{APPLICATION}/rollback"
INPUT = [2.0, 0.0, 0.0]
FEATURES = ("a", "b", "c")
RIGHT = {"good": 1, "bad": 0}
"""What each version answers to `INPUT`."""

SCRIPT = """
local ids = assert(io.open("{ids}", "w"))
ids:setvbuf("full", 65536)
wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
function response(status, headers, body)
  if status ~= 200 then ids:write("status ", status, "\\n") return end
  local id, version, output, default = string.match(body,
    '^{{"id":"([^"]+)".-"version":"([^"]+)","output":([^,]+),.-"default":(%a+)')
  ids:write(id or "unread", " ", version or "", " ", output or "", " ", default or "", "\\n")
  if not id then ids:write(body, "\\n") end
  ids:flush()
end
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load generator saw."""

    tool: str
    requests: int
    per_second: float
    p99_ms: float | None
    errors: int
    """Answers other than 200, and connections that failed."""
    ids: Path | None
    """A line for each answer: id, version, output, whether it was the default."""


class Load:
    """Callers that ask the same again and again, for a time stated at the start."""

    def __init__(self, service: Service, folder: Path, *, seconds: float, connections: int) -> None:
        self._ids = folder / f"ids-{time.monotonic_ns()}.txt"
        self._seconds = seconds
        key = service.connection.key or ""
        body = json.dumps({"input": INPUT})
        self.tool = tool()
        if self.tool == "wrk":
            script = folder / "answers.lua"
            script.write_text(SCRIPT.format(ids=self._ids, body=body, key=key))
            command = [
                *("wrk", "-t1", f"-c{connections}", f"-d{int(seconds)}s", "--timeout", "30s"),
                *("--latency", "-s", str(script), f"http://127.0.0.1:{service.port}{PREDICTIONS}"),
            ]
        else:
            request = folder / "request.http"
            lines = [
                f"POST {PREDICTIONS} HTTP/1.1", f"Host: 127.0.0.1:{service.port}",
                "Content-Type: application/json", f"Content-Length: {len(body)}",
                f"Authorization: Bearer {key}", "", body,
            ]  # fmt: skip
            request.write_text("\r\n".join(lines))
            command = [
                *(sys.executable, str(HERE / "load.py"), str(service.port), str(request)),
                *("--connections", str(connections), "--seconds", str(seconds), "--warm", "0"),
            ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self) -> Seen:
        """Wait for its end and read what it saw."""
        said, _ = self._process.communicate(timeout=self._seconds + 120)
        if self._process.returncode:
            raise SystemExit(f"{self.tool} ended with status {self._process.returncode}: {said}")
        if self.tool != "wrk":
            seen = json.loads(said)
            return Seen(
                self.tool, seen["answers"], seen["per_second"], seen["p99_ms"], seen["bad"], None
            )
        figures = parse(said)
        return Seen(
            "wrk", figures.requests, figures.per_second, figures.p99_ms, figures.errors, self._ids
        )


def model(inverted: bool) -> bytes:
    """A joblib file of a classifier: the sign of the first feature, or its opposite."""
    rows = np.random.default_rng(7).normal(size=(200, len(FEATURES)))
    labels = (rows[:, 0] > 0).astype(int)
    data = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, 1 - labels if inverted else labels), data)
    return data.getvalue()


@contextmanager
def service(settings: Mapping[str, str], *, objective_ms: int) -> Iterator[Service]:
    """Run the whole service, with version `good` in force and `bad` beside it."""
    folder = Path(tempfile.mkdtemp(prefix="leadsman-bench-"))
    # What is no longer needed stays warm, so that the next change has nothing to wait for.
    running = Service(folder / "data", None, None, {"SERVING_RETIRE_AFTER": "3600", **settings})
    try:
        running.start()
        with admin(running) as client:
            made = {"name": APPLICATION, "task": "binary", "latency_objective_ms": objective_ms}
            client.post("/v1/applications", json=made).raise_for_status()
            rows = [dict(zip(FEATURES, (x, 0.0, 0.0), strict=True)) for x in (-2.0, 2.0)]
            for version in ("good", "bad"):
                manifest = {"version": version, "framework": "sklearn", "reference": {"rows": rows}}
                client.post(
                    "/v1/models/m/versions",
                    data={"manifest": json.dumps(manifest)},
                    files={"artefact": ("model.joblib", model(version == "bad"))},
                ).raise_for_status()
            serve(client, "bad")
            serve(client, "good")
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def admin(running: Service) -> httpx.Client:
    """A client that may change everything."""
    connection = running.connection
    return httpx.Client(
        base_url=connection.serving_url,
        headers={"Authorization": f"Bearer {connection.key}"},
        timeout=120,
        trust_env=False,
    )


def serve(client: httpx.Client, version: str) -> None:
    """Let a version answer everything."""
    policy = {"kind": "single", "champion": f"m:{version}"}
    client.put(ROUTE, json={"policy": policy, "reason": "benchmark"}).raise_for_status()


def query(running: Service, sql: str, *arguments: Any) -> list[Any]:
    """Ask the record."""

    async def ask() -> list[Any]:
        url = (running.data_dir / "database_url").read_text().strip()
        connection = await asyncpg.connect(url, command_timeout=600)
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()

    return asyncio.run(ask())


def wait_until_shipped(running: Service, within: float = 120.0) -> None:
    """Wait until no journal holds anything back."""
    until = time.monotonic() + within
    with admin(running) as client:
        while time.monotonic() < until:
            text = client.get("/metrics").text
            waiting = re.findall(r"^leadsman_serving_journal_rows(?:\{.*\})? (\S+)$", text, re.M)
            if waiting and not any(float(one) for one in waiting):
                return
            time.sleep(0.2)
    raise SystemExit(f"the journal did not reach Postgres within {within:g} s")


def serving_processes(running: Service) -> list[psutil.Process]:
    """Every serving process and every replica."""
    found = []
    for one in psutil.Process(running.pid).children(recursive=True):
        try:
            words = one.cmdline()
        except psutil.Error:
            continue
        if any(word in ("serving", "serving.replica") for word in words):
            found.append(one)
    return found


def replicas(running: Service) -> list[psutil.Process]:
    """Every replica that lives."""
    found = []
    for one in serving_processes(running):
        try:
            if "serving.replica" in one.cmdline() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.Error:
            continue
    return found
