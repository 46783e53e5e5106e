"""The load on one address: wrk, or `benchmarks/load.py` on a machine without it.

wrk (https://github.com/wg/wrk; Debian: ``apt-get install wrk``) takes a tenth of the CPU time that
a generator in Python takes, so what it measures is the server.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}

POST = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that is asked again and again."""

    port: int
    path: str
    body: Any
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What travels beside the body."""
        given = {"Content-Type": "application/json"}
        return given | ({"Authorization": f"Bearer {self.key}"} if self.key else {})


@dataclass(frozen=True, slots=True)
class Figures:
    """What one load saw."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers other than 200, and connections that failed."""


def tool() -> str:
    """What makes the load on this machine."""
    return "wrk" if shutil.which("wrk") else "benchmarks/load.py"


def load(call: Call, connections: int, seconds: float) -> Figures:
    """Ask over so many connections, each again as soon as its answer is there."""
    with tempfile.TemporaryDirectory() as folder:
        if tool() == "wrk":
            return _wrk(call, connections, seconds, Path(folder) / "post.lua")
        return _own(call, connections, seconds, Path(folder) / "request.http")


def _wrk(call: Call, connections: int, seconds: float, script: Path) -> Figures:
    headers = "\n".join(f'wrk.headers["{name}"] = "{text}"' for name, text in call.headers.items())
    script.write_text(POST.format(body=json.dumps(call.body), headers=headers))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s"]
    command += ["--latency", "-s", str(script), f"http://127.0.0.1:{call.port}{call.path}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + 120
    )
    return parse(done.stdout)


def parse(said: str) -> Figures:
    """Read what wrk printed.

    Raises
    ------
    SystemExit
        If there are no figures in it.
    """
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if requests is None or rate is None:
        raise SystemExit(f"wrk printed no figures: {said}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, sockets.groups())) if sockets else 0
    return Figures(
        int(requests[1]), float(rate[1]), _quantile(said, 50), _quantile(said, 99), errors
    )


def _quantile(said: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", said)
    return float("nan") if found is None else float(found[1]) * MILLISECONDS[found[2]]


def _own(call: Call, connections: int, seconds: float, request: Path) -> Figures:
    content = json.dumps(call.body)
    lines = [f"POST {call.path} HTTP/1.1", f"Host: 127.0.0.1:{call.port}"]
    lines += [f"{name}: {text}" for name, text in call.headers.items()]
    lines += [f"Content-Length: {len(content)}", "", content]
    request.write_text("\r\n".join(lines))
    command = [sys.executable, str(HERE / "load.py"), str(call.port), str(request)]
    command += ["--connections", str(connections), "--seconds", str(seconds), "--warm", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    seen = json.loads(done.stdout)
    return Figures(
        seen["answers"], seen["per_second"], seen["p50_ms"] or 0.0, seen["p99_ms"] or 0.0,
        seen["bad"],
    )  # fmt: skip
