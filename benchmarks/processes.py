"""What serving processes cost when idle, what a second one brings, and how soon both switch.

Run ``python benchmarks/processes.py [--json FILE] [--seconds 10]``. Idle: CPU of the serving
process and its replica while nobody asks, with one application and with two hundred, as a share of
one core. Throughput: wrk (or `benchmarks/load.py`) asks one and two workers as fast as it can. On
two cores the load generator, Postgres, the monitor and two replicas want their share of them, so
that two workers cannot bring twice as much here: what the figures show is a lower bound. Route
changes: under that load two workers are told to switch, again and again; the time is taken from the
record, from the beginning of the transaction that changes the route to the last answer by the
revision before, whichever worker gave it. It takes three minutes; a step that takes longer than
`--limit` ends the run and says which it was.
"""

import argparse
import json
import platform
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from fleet_load import (
    Load,
    admin,
    query,
    serve,
    service,
    serving_processes,
    wait_until_shipped,
)

from leadsman.demo.service import Service

CONNECTIONS = 64
APPLICATIONS = 200
SETTLE_SECONDS = 20.0
"""After a start some things are still done once, and pauses between looks grow to their length."""
OBJECTIVE_MS = 2_000
IDLE_LIMIT = 0.01
"""Share of a core that an idle service may use."""
SEEN_WITHIN_MS = 250.0
"""Milliseconds after a commit in which every process goes by the change, in 99 of 100 changes."""
CHANGE_PAUSE = 0.05
CHANGING = 3
"""Times as long as a throughput is measured: some hundreds of changes."""

_SEEN_AFTER = """
SELECT greatest(0, extract(epoch FROM last.answered_at - r.created_at) * 1000)::float8 AS ms
  FROM (SELECT application_id, revision,
               max(predicted_at + latency_us * interval '1 microsecond') AS answered_at
          FROM predictions GROUP BY application_id, revision) last
  JOIN revisions r USING (application_id)
 WHERE r.revision = last.revision + 1 AND r.created_at > $1
"""


@contextmanager
def step(name: str, limit: float) -> Iterator[None]:
    """End the run, with everything that it started, where a step of it does not come to an end."""

    def give_up(*_: object) -> None:
        raise SystemExit(f"{name}: not done after {limit:g} s")

    print(f"{name} ...", flush=True)
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cpu_seconds(running: Service) -> float:
    """CPU time that all serving processes and replicas have used."""
    total = 0.0
    for one in serving_processes(running):
        # A process that ends between the list and the question has nothing more to add.
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def idle(running: Service, seconds: float) -> float:
    """Share of a core that is used while nothing happens."""
    time.sleep(SETTLE_SECONDS)
    before, began = cpu_seconds(running), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(running) - before) / (time.monotonic() - began)


def more_applications(running: Service, count: int) -> None:
    """Make applications with routes of their own, all to one version."""
    with admin(running) as client:
        for number in range(count):
            name = f"idle-{number}"
            made = {"name": name, "task": "binary", "latency_objective_ms": OBJECTIVE_MS}
            client.post("/v1/applications", json=made).raise_for_status()
            policy = {"kind": "single", "champion": "m:good"}
            client.put(f"/v1/applications/{name}/route", json={"policy": policy}).raise_for_status()


def throughput(workers: int, seconds: float) -> dict[str, float]:
    """Requests a second, and the 99th percentile of their latency."""
    settings = {"SERVING_WORKERS": str(workers)}
    with (
        service(settings, objective_ms=OBJECTIVE_MS) as running,
        tempfile.TemporaryDirectory() as folder,
    ):
        Load(running, Path(folder), seconds=2, connections=CONNECTIONS).finish()
        seen = Load(running, Path(folder), seconds=seconds, connections=CONNECTIONS).finish()
    if seen.errors:
        raise SystemExit(f"{workers} workers: {seen.errors} errors")
    return {"per_second": seen.per_second, "p99_ms": seen.p99_ms or 0.0}


def route_changes(workers: int, seconds: float) -> dict[str, float]:
    """Milliseconds until the last of several workers goes by a change, under full load."""
    settings = {"SERVING_WORKERS": str(workers)}
    with (
        service(settings, objective_ms=OBJECTIVE_MS) as running,
        tempfile.TemporaryDirectory() as folder,
        admin(running) as client,
    ):
        load = Load(running, Path(folder), seconds=seconds, connections=CONNECTIONS)
        time.sleep(1.0)
        began, until, turn = datetime.now(UTC), time.monotonic() + seconds - 3.0, 0
        while time.monotonic() < until:
            turn += 1
            serve(client, "bad" if turn % 2 else "good")
            time.sleep(CHANGE_PAUSE)
        seen = load.finish()
        wait_until_shipped(running)
        delays = [row["ms"] for row in query(running, _SEEN_AFTER, began)]
    if seen.errors:
        raise SystemExit(f"route changes: {seen.errors} errors")
    return {
        "changes": len(delays),
        "p50_ms": float(np.quantile(delays, 0.5)),
        "p99_ms": float(np.quantile(delays, 0.99)),
        "max_ms": max(delays),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--limit", type=float, default=300.0, help="most seconds of one step")
    asked = parser.parse_args()
    with step("idle", asked.limit), service({}, objective_ms=OBJECTIVE_MS) as running:
        alone = idle(running, asked.seconds)
        more_applications(running, APPLICATIONS - 1)
        many = idle(running, asked.seconds)
    with step("one worker", asked.limit):
        one = throughput(1, asked.seconds)
    with step("two workers", asked.limit):
        two = throughput(2, asked.seconds)
    with step("route changes", asked.limit):
        changes = route_changes(2, CHANGING * asked.seconds)
    figures = {
        "command": "python benchmarks/processes.py --json benchmarks/results/processes.json",
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "idle_share_of_a_core": {"1": alone, str(APPLICATIONS): many},
        "workers": {"1": one, "2": two},
        "ratio_of_two_workers": two["per_second"] / one["per_second"],
        "route_changes": changes,
        "targets": {
            "idle_share_of_a_core": IDLE_LIMIT,
            "ratio_of_two_workers": 1.0,
            "route_changes_p99_ms": SEEN_WITHIN_MS,
        },
        "limit": f"{psutil.cpu_count()} cores, shared by workers, replicas, Postgres and the load",
    }
    print(f"idle, 1 application     {alone:8.2%} of a core (at most {IDLE_LIMIT:.0%})")
    print(f"idle, {APPLICATIONS} applications  {many:8.2%} of a core (at most {IDLE_LIMIT:.0%})")
    for workers, seen in ((1, one), (2, two)):
        print(f"{workers} worker(s)  {seen['per_second']:8.0f} req/s  p99 {seen['p99_ms']:8.1f} ms")
    print(f"two over one  {figures['ratio_of_two_workers']:.2f} (more than 1; {figures['limit']})")
    print(
        f"route change seen by both: p50 {changes['p50_ms']:.0f} ms, p99 {changes['p99_ms']:.0f} ms"
        f" of {changes['changes']:.0f} (at most {SEEN_WITHIN_MS:.0f} ms)"
    )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    missed = [
        name
        for name, met in {
            "idle cost": max(alone, many) <= IDLE_LIMIT,
            "two workers": two["per_second"] > one["per_second"],
            "route changes": changes["p99_ms"] <= SEEN_WITHIN_MS,
        }.items()
        if not met
    ]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
