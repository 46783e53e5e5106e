"""Cold start, latency of one row and of 512, and memory of a replica of each framework.

`python benchmarks/frameworks.py [--only NAME ...] [--json FILE] [--docs]`. Each example of
`examples/frameworks` is trained in the environment of its framework, built as serving builds it,
and runs as a replica process on one thread, asked over its socket with the service's own frames and
nothing else in between. Beside the whole call stands the time that the model took by the replica's
clock: the difference is ours.

The ratio is that of 512 rows in one batch to 512 single calls: what batching is worth. With
`--only` the others keep what the file of `--json` says of them.
"""

import argparse
import asyncio
import dataclasses
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# The name of a neighbour, serving.py, is a package's too.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from serving.launchers.environment_store import EnvironmentStore  # noqa: E402
from serving.launchers.process import ProcessLauncher  # noqa: E402
from serving.records import Version  # noqa: E402
from serving.replica.inspection import inspect  # noqa: E402
from serving.replica.protocol import Encoding, Frame, Kind  # noqa: E402
from serving.replica_client import (  # noqa: E402
    Hello,
    ReplicaConnection,
    parse_answer,
    parse_hello,
    predict_frame,
    reach,
)

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "frameworks"
DOCS = ROOT / "docs" / "frameworks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BATCH = 512
SECONDS = 2.0
"""For which each size is asked, after as many calls as it takes to warm up."""
WARM_UP = 20
COLD_STARTS = 3
START_WITHIN = 300.0
FEATURES = ("amount", "age", "hour")

TENSORFLOW, PYTORCH, SPARK = ["tensorflow-cpu==2.21.0"], ["torch==2.13.0"], ["pyspark==4.3.0"]
CASES: dict[str, list[str] | None] = {
    "scikit_learn": None,
    "skops_file": None,
    "python_function": None,
    "xgboost_model": None,
    "lightgbm_model": None,
    "onnx_model": None,
    "mlflow_model": None,
    "river_model": None,
    "tensorflow_savedmodel": TENSORFLOW,
    "tensorflow_keras": TENSORFLOW,
    "pytorch_exported": PYTORCH,
    "pytorch_torchscript": PYTORCH,
    "spark_pipeline": SPARK,
}
"""Requirements by example; none for the service's own environment."""


@dataclass(frozen=True)
class Result:
    """What was measured of one example. Times in milliseconds."""

    example: str
    framework: str
    versions: dict[str, str]
    cold_start_ms: float
    """From the start of the process to its hello, the median."""
    one_ms: float
    """A call with one row, the median."""
    one_p99_ms: float
    one_model_ms: float
    """Of it, what the model took."""
    batch_ms: float
    """A call with 512 rows, the median."""
    batch_model_ms: float
    memory_mb: float
    """Of the replica and what it started, proportional to what is shared."""
    load: float
    """Of the machine over the last minute, when it had been measured."""

    @property
    def ratio(self) -> float:
        """How much longer 512 single calls take than one of 512."""
        return self.one_ms * BATCH / self.batch_ms


class Call:
    """A connection that is asked and answered in turn."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.ended = ""
        self.connection: ReplicaConnection | None = None

    def make(self) -> ReplicaConnection:
        """The protocol of the connection."""
        return ReplicaConnection(self.frames.put_nowait, self._end)

    def _end(self, reason: str) -> None:
        self.ended = reason
        self.frames.put_nowait(Frame(Kind.FAILURE, reason.encode()))

    async def ask(self, data: bytes, rows: int, classes: list[bytes]) -> tuple[float, float]:
        """Seconds of a call, and of it those of the model."""
        assert self.connection is not None
        begun = time.perf_counter()
        self.connection.send(data)
        frame = await self.frames.get()
        seconds = time.perf_counter() - begun
        if frame.kind != Kind.ANSWER:
            raise RuntimeError(bytes(frame.payload).decode())
        answer = parse_answer(frame, rows, classes)
        if answer.errors:
            raise RuntimeError(next(iter(answer.errors.values())))
        return seconds, answer.seconds


async def measure(
    name: str, folder: Path, store: EnvironmentStore, say: Callable[[str], None]
) -> Result:
    """Train, start, ask."""
    requirements = CASES[name]
    manifest: dict[str, Any] = {} if requirements is None else {"requirements": requirements}
    bare = Version(1, name, "1", "", manifest, "", 0, folder, datetime.now(UTC))
    say("building its environment")
    python = await store.python(bare, None)
    say("training")
    artefact = train(name, folder, python or Path(sys.executable))
    described = inspect(artefact)
    assert described is not None
    version = dataclasses.replace(bare, framework=described.framework, artefact=artefact)
    launcher = ProcessLauncher(folder / "replicas", environments=store)
    starts = []
    for number in range(COLD_STARTS):
        say(f"starting, {number + 1} of {COLD_STARTS}")
        begun = time.perf_counter()
        replica = await launcher.start(version, python=None, features=FEATURES)
        call = Call()
        call.connection = await reach(replica, call.make, START_WITHIN)
        frame = await asyncio.wait_for(call.frames.get(), START_WITHIN)
        starts.append(time.perf_counter() - begun)
        if frame.kind != Kind.HELLO:
            await replica.stop(timedelta(0))
            raise RuntimeError(f"{name} does not start: {replica.last_words()}")
        if number < COLD_STARTS - 1:
            await replica.stop(timedelta(0))
    hello = parse_hello(bytes(frame.payload))
    try:
        say("asking")
        one, batch = await ask(call, hello, 1), await ask(call, hello, BATCH)
        memory = memory_of(replica.pid)
    finally:
        if call.connection is not None:
            call.connection.close("done")
        await replica.stop(timedelta(seconds=1))
    return Result(
        name, described.framework, {"python": hello.python, **hello.libraries},
        1e3 * statistics.median(starts), 1e3 * statistics.median(one[0]),
        1e3 * float(np.quantile(one[0], 0.99)), 1e3 * statistics.median(one[1]),
        1e3 * statistics.median(batch[0]), 1e3 * statistics.median(batch[1]), memory,
        psutil.getloadavg()[0],
    )  # fmt: skip


def with_others(measured: list[Result], path: Path | None) -> list[Result]:
    """The results with those that a file has of other examples, in the order of the cases."""
    found = {}
    if path is not None and path.exists():
        for one in json.loads(path.read_text())["results"]:
            del one["ratio"]
            found[one["example"]] = Result(**one)
    found |= {one.example: one for one in measured}
    return [found[name] for name in CASES if name in found]


def train(name: str, folder: Path, python: Path) -> Path:
    """Run the example."""
    done = subprocess.run(
        [str(python), str(EXAMPLES / f"{name}.py"), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name} was not trained: {done.stderr[-1000:]}")
    return Path(done.stdout.strip().splitlines()[-1])


async def ask(call: Call, hello: Hello, rows: int) -> tuple[list[float], list[float]]:
    """Seconds of calls with so many rows, and of the model in them."""
    rng = np.random.default_rng(4)
    block = np.column_stack(
        [rng.exponential(100, rows), rng.exponential(300, rows), rng.integers(0, 24, rows)]
    )
    data = predict_frame(Encoding.FLOATS, [row.tobytes() for row in block], 1)
    classes = [json.dumps(one).encode() for one in hello.classes or ()]
    for _ in range(WARM_UP):
        await call.ask(data, rows, classes)
    whole, model = [], []
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        seconds, inside = await call.ask(data, rows, classes)
        whole.append(seconds)
        model.append(inside)
    return whole, model


def memory_of(pid: int) -> float:
    """Megabytes of a process and its children."""
    process = psutil.Process(pid)
    every = [process, *process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in every) / 2**20


def table(results: list[Result]) -> Table:
    """For people."""
    made = Table(title="A replica of each framework, one thread; milliseconds and MiB")
    for column in ("example", "releases", "cold start", "one row", "p99", "model", "512 rows",
                   "model", "ratio", "memory"):  # fmt: skip
        made.add_column(column, justify="left" if column in ("example", "releases") else "right")
    for one in results:
        made.add_row(
            one.example, releases(one), f"{one.cold_start_ms:,.0f}", f"{one.one_ms:.2f}",
            f"{one.one_p99_ms:.2f}", f"{one.one_model_ms:.2f}", f"{one.batch_ms:.2f}",
            f"{one.batch_model_ms:.2f}", f"{one.ratio:.0f}x", f"{one.memory_mb:,.0f}",
        )  # fmt: skip
    return made


def releases(one: Result) -> str:
    """The releases that matter, on one line; numpy's only where there is nothing else."""
    found = {name: at for name, at in one.versions.items() if name not in ("python", "numpy")}
    return ", ".join(f"{name} {at}" for name, at in (found or one.versions).items())


def markdown(results: list[Result], told: str) -> str:
    """The table of docs/frameworks.md."""
    lines = [
        told, "",
        "| example | releases tested | cold start, s | one row, ms | of it model | 512 rows, ms "
        "| of it model | memory, MiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    lines += [
        f"| `{one.example}` | {releases(one)} | {one.cold_start_ms / 1e3:.1f} | {one.one_ms:.2f} "
        f"| {one.one_model_ms:.2f} | {one.batch_ms:.1f} | {one.batch_model_ms:.1f} "
        f"| {one.memory_mb:,.0f} |"
        for one in results
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/frameworks.md")
    parser.add_argument("--environments", type=Path, default=ROOT / ".environments")
    options = parser.parse_args()
    # Into a file the table goes unbroken.
    console, results = Console(width=None if sys.stdout.isatty() else 170), []
    for name in options.only:
        # Of torch pip finds a build without CUDA where the machine has one.
        installer = "pip" if CASES[name] == PYTORCH else None
        store = EnvironmentStore(options.environments, installer=installer)
        with (
            tempfile.TemporaryDirectory() as folder,
            console.status(name) as status,
        ):
            say = lambda what, name=name: status.update(f"{name}: {what}")  # noqa: E731
            results.append(asyncio.run(measure(name, Path(folder), store, say)))
    console.print(table(results))
    results = with_others(results, options.json)
    machine = (
        f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}"
    )
    figures = {
        "machine": machine,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "results": [asdict(one) | {"ratio": one.ratio} for one in results],
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.docs:
        load = max(one.load for one in results)
        told = f"Measured on {machine}, at a load average of at most {load:.1f}, its own in it."
        text = DOCS.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        DOCS.write_text(f"{before}{BEGIN}\n{markdown(results, told)}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
