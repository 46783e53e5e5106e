"""What batching brings on a vectorised linear model, and what each way to size batches does.

Run ``python benchmarks/batching.py [--json FILE]``. One queue with one replica process, asked by
callers in the same process that ask again as soon as they have their answer: once with batches of
one row, once with sizes by the learned cost, once by Clipper's search (additive increase, back-off
by a tenth), in turns. A second model, a forest, shows what the two do where a batch is dear and
the objective is tight.
"""

import argparse
import asyncio
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import psutil
import uvloop
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from serving.batch_size import Controller  # noqa: E402
from serving.batching import Answer, BatchLimits, BatchQueue, Outcome, QueueOptions  # noqa: E402
from serving.collector import spare_what_stays  # noqa: E402
from serving.launchers.process import ProcessLauncher  # noqa: E402
from serving.records import Version  # noqa: E402

FEATURES = 20
TURNS = 3
GAIN = 15.0
"""Least throughput of the linear model with batches over the same without."""
WARM_SECONDS, SECONDS = 1.0, 2.0
WAYS: dict[str, tuple[BatchLimits, QueueOptions]] = {
    "no_batching": (BatchLimits(rows=1, warm_batches=2**62), QueueOptions()),
    "learned": (BatchLimits(warm_batches=2**62), QueueOptions()),
    "aimd": (BatchLimits(warm_batches=2**62), QueueOptions(Controller.AIMD)),
}
"""Nothing is turned away here: the callers are as many as they are."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one way came to."""

    per_second: float
    p50_ms: float
    p99_ms: float
    within_objective: float
    """Share of the answers that came by the deadline."""
    rows_a_batch: float


class Callers:
    """So many callers, each with one row on its way; no task for any of them."""

    def __init__(self, queue: BatchQueue, rows: Iterator[bytes], objective: float) -> None:
        self._queue = queue
        self._rows = rows
        self._objective = objective
        self._loop = asyncio.get_running_loop()
        self.latencies: list[float] = []
        self.late = 0
        self.goes_on = True

    def ask(self) -> None:
        """Ask once more."""
        now = self._loop.time()
        future = self._queue.submit(next(self._rows), now + self._objective)
        future.add_done_callback(lambda done: self._note(done, now))

    def _note(self, done: "asyncio.Future[Answer]", asked: float) -> None:
        if done.result().outcome is Outcome.ANSWERED:
            self.latencies.append(self._loop.time() - asked)
        else:
            self.late += 1
        if self.goes_on:
            self.ask()


def _rows() -> Iterator[bytes]:
    blocks = [row.tobytes() for row in np.random.default_rng(3).normal(size=(4096, FEATURES))]
    while True:
        yield from blocks


async def _measure(queue: BatchQueue, callers: int, objective: float) -> Run:
    asking = Callers(queue, _rows(), objective)
    for _ in range(callers):
        asking.ask()
    await asyncio.sleep(WARM_SECONDS)
    asking.latencies.clear()
    asking.late = 0
    batches, begun = queue.cost.observed, time.perf_counter()
    await asyncio.sleep(SECONDS)
    spent = time.perf_counter() - begun
    latencies, late = np.array(asking.latencies) * 1000, asking.late
    batches = queue.cost.observed - batches
    asking.goes_on = False
    await queue.drain(timedelta(seconds=5))
    return Run(
        len(latencies) / spent, float(np.percentile(latencies, 50)),
        float(np.percentile(latencies, 99)), len(latencies) / (len(latencies) + late),
        len(latencies) / max(1, batches),
    )  # fmt: skip


async def _compare(
    folder: Path, version: Version, callers: int, objective: float
) -> dict[str, Run]:
    names = tuple(f"x{number}" for number in range(FEATURES))
    seen: dict[str, list[Run]] = {}
    for _ in range(TURNS):
        for way, (limits, options) in WAYS.items():
            queue = BatchQueue(
                version, ProcessLauncher(folder / "replicas"), features=names, limits=limits,
                options=options,
            )  # fmt: skip
            await queue.start(timedelta(seconds=60))
            try:
                seen.setdefault(way, []).append(await _measure(queue, callers, objective))
            finally:
                await queue.stop()
    return {way: _middle(runs) for way, runs in seen.items()}


def _middle(runs: list[Run]) -> Run:
    each = [asdict(run) for run in runs]
    return Run(**{name: median(one[name] for one in each) for name in each[0]})


def _version(folder: Path, name: str, model: Any) -> Version:
    path = folder / f"{name}.joblib"
    joblib.dump(model, path)
    return Version(
        id=1, model=name, version="1", framework="sklearn", digest=name,
        size_bytes=0, artefact=path,
        manifest={}, created_at=datetime.now(UTC),
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    # As in a serving process: passes of the collector would be taken for the controllers' tails.
    spare_what_stays()
    random = np.random.default_rng(5)
    table, target = random.normal(size=(4000, FEATURES)), random.normal(size=4000)
    linear = LinearRegression().fit(table, target)
    forest = RandomForestClassifier(100, max_depth=8, random_state=1).fit(table, target > 0)
    folder = Path(tempfile.mkdtemp(prefix="leadsman-batching-"))
    figures: dict[str, Any] = {
        "command": "python benchmarks/batching.py --json benchmarks/results/batching.json",
        "python": platform.python_version(), "cores": psutil.cpu_count(),
    }  # fmt: skip
    try:
        for name, model, callers, objective in (
            ("linear", linear, 1024, 20.0), ("forest", forest, 64, 0.05),
        ):  # fmt: skip
            version = _version(folder, name, model)
            found = uvloop.run(_compare(folder, version, callers, objective))
            print(f"{name}: {callers} callers, objective {objective * 1000:g} ms")
            for way, run in found.items():
                gain = run.per_second / found["no_batching"].per_second
                print(
                    f"  {way:12}{run.per_second:9.0f} rows/s {gain:6.1f} x  p50 {run.p50_ms:7.2f} "
                    f"p99 {run.p99_ms:7.2f} ms  in time {run.within_objective:.3f}  "
                    f"{run.rows_a_batch:6.1f} rows a batch"
                )
            figures[name] = {way: asdict(run) for way, run in found.items()}
            figures[name]["gain"] = found["learned"].per_second / found["no_batching"].per_second
        gain = figures["linear"]["gain"]
        verdict = "met" if gain >= GAIN else "MISSED"
        print(f"linear, learned over no batching: {gain:.1f} (asked: {GAIN:g}): {verdict}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if gain < GAIN:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
