"""How many rows a second the monitor takes end to end, and what idle applications cost.

Run ``python benchmarks/monitor.py [PART ...] [--json FILE] [--rows N] [--applications N]``. A row
has 20 features, 2 scores and a label that comes some seconds later. The monitor and Postgres
together are bound to one core; reading, joining, every default watch, and the commit are measured.
Parts:

- `single`: a backlog of one version;
- `canary`: of a champion and a canary that gets a fifth of the rows, compared by
  `canary_difference`;
- `shadow`: of a champion and a challenger in its shadow, compared by `challenger_difference`: each
  request is two rows;
- `idle`: applications of which each is asked once in ten minutes, and has been for weeks;
- `new`: the same of applications that nobody has asked before: nothing is armed yet.

Figures of parts that are not measured stay in FILE as they were.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

os.environ["OMP_NUM_THREADS"] = "1"

import asyncpg
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

# Python looks first into the folder of the program, where another benchmark is called `serving`.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

from drift.checkpoint import State, pack, unpack  # noqa: E402
from leadsman.embedded_postgres import EmbeddedPostgres  # noqa: E402
from migrations.upgrade import upgrade  # noqa: E402
from monitor.evaluation.detector_state import Subject  # noqa: E402
from monitor.evaluation.memory import Memory  # noqa: E402
from monitor.evaluation.saved_state import from_row, to_rows  # noqa: E402
from monitor.loop import turn_once  # noqa: E402
from monitor.records import Watch, WatchState  # noqa: E402
from monitor.settings import Settings  # noqa: E402
from monitor.store import watches as watch_store  # noqa: E402
from monitor.store.database import connect  # noqa: E402
from serving.copy_format import (  # noqa: E402
    FEEDBACK_COLUMNS,
    HEADER,
    PREDICTION_COLUMNS,
    TRAILER,
    encode_feedback,
    encode_prediction,
)
from serving.ids import new_prediction_id  # noqa: E402

FEATURES = 20
A_SECOND = 20_000
"""Rows that must be kept up with."""
SHIPMENT = 2_000
"""Rows of one shipment: a tenth of a second of the traffic."""
LATE = 5
"""Shipments by which a label comes after its prediction."""
WARM_SECONDS, IDLE_SECONDS = 12, 30
"""Before the measurement, and of it."""
IDLE_ROWS_PER_APPLICATION_AND_MINUTE = 0.1
"""Mostly idle: each application is asked once in ten minutes."""
HISTORY_ROWS, PACE_US = 4_000, 600_000_000
"""What an idle application has been asked before the measurement, at its own pace."""
STANDS = 50
"""The longest block of a default watch: after so many rows each stands as it did before them."""
REFERENCE = 2_000
SHADOW = 4
"""Flag of a shadow's answer."""
SHARE = 0.2
"""Of the rows, what a canary gets."""
POLICIES: dict[str, dict[str, Any]] = {
    "single": {"kind": "single", "champion": "model:1"},
    "canary": {"kind": "canary", "champion": "model:1", "challenger": "model:2", "share": SHARE},
    "shadow": {"kind": "shadow", "champion": "model:1", "challengers": ["model:2"]},
}
PARTS = (*POLICIES, "idle", "new")


async def set_up(
    connection: asyncpg.Connection, applications: int, *, policy: dict[str, Any] | None = None
) -> None:
    """Applications, each with one schema and one version; with a policy one application with
    two."""
    names = [f"x{number}" for number in range(FEATURES)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "number"} for name in names},
        "required": names,
    }
    numbers = list(range(1, applications + 1))
    await connection.execute("INSERT INTO models (id, name) VALUES (1, 'model')")
    await connection.execute(
        "INSERT INTO journals (id) VALUES ('00000000-0000-0000-0000-000000000001')"
    )
    await connection.executemany(
        "INSERT INTO applications (id, name, task, latency_objective_ms)"
        " VALUES ($1, $2, 'binary', 100)",
        [(number, f"application-{number}") for number in numbers],
    )
    await connection.executemany(
        "INSERT INTO input_schemas (id, application_id, schema, features, encoding)"
        " VALUES ($1, $1, $2, $3, 'float64')",
        [(number, json.dumps(schema), json.dumps(names)) for number in numbers],
    )
    await connection.executemany(
        "INSERT INTO versions (id, model_id, version, framework, manifest, digest, size_bytes,"
        " artefact) VALUES ($1, 1, $2, 'python', '{}', $2, 1, $2)",
        [(number, str(number)) for number in (numbers if policy is None else [1, 2])],
    )
    await connection.executemany(
        "INSERT INTO revisions (application_id, revision, kind, policy, input_schema_id, actor)"
        " VALUES ($1, 1, 'change', $2, $1, 'benchmark')",
        [
            (number, json.dumps(policy or {"kind": "single", "champion": f"model:{number}"}))
            for number in numbers
        ],
    )


async def add_reference(connection: asyncpg.Connection, rng: np.random.Generator) -> None:
    """Reference rows of every version, which are the same."""
    inputs = rng.normal(size=(REFERENCE, FEATURES)).tolist()
    labels = (rng.random(REFERENCE) < 0.5).astype(int)
    outputs = np.where(rng.random(REFERENCE) < 0.1, 1 - labels, labels)
    await connection.execute(
        "INSERT INTO version_references (version_id, features, inputs, labels, outputs)"
        " SELECT id, $1, $2, $3, $4 FROM versions",
        json.dumps([f"x{number}" for number in range(FEATURES)]),
        json.dumps(inputs),
        json.dumps(labels.tolist()),
        json.dumps(outputs.tolist()),
    )


class Traffic:
    """Rows and their late labels, in shipments."""

    def __init__(self, seed: int, kind: str = "single") -> None:
        self._kind = kind
        self._rng = np.random.default_rng(seed)
        self._labels: list[list[tuple[bytes, int]]] = []

    def shipment(self, applications: list[int], start_us: int, span_us: int) -> tuple[bytes, bytes]:
        """Encoded predictions of requests to some applications, and the labels that have come by
        then."""
        count = len(applications)
        inputs = self._rng.normal(size=(count, FEATURES))
        truth = (self._rng.random(count) < 0.5).astype(int)
        output = np.where(self._rng.random(count) < 0.1, 1 - truth, truth)
        score = self._rng.random(count)
        rows, labels = [], []
        for row, number in enumerate(applications):
            at = start_us + row * span_us // count
            identifier = new_prediction_id(at)
            block = np.array([1 - score[row], score[row]]).tobytes()
            for version, flags, propensity in self._answered(number):
                rows.append(
                    encode_prediction(
                        at,
                        identifier,
                        version,
                        number,
                        1,
                        flags,
                        None,
                        900,
                        propensity,
                        inputs[row].tobytes(),
                        b"%d" % output[row],
                        block,
                        None,
                    )
                )
            labels.append((identifier, int(truth[row])))
        self._labels.append(labels)
        due = self._labels.pop(0) if len(self._labels) > LATE else []
        feedback = [
            encode_feedback(
                start_us + place,
                new_prediction_id(start_us + place),
                identifier,
                b"%d" % label,
                None,
            )
            for place, (identifier, label) in enumerate(due)
        ]
        return b"".join(rows), b"".join(feedback)

    def _answered(self, number: int) -> Sequence[tuple[int, int, float]]:
        """Version, flags and propensity of each answer to one request."""
        if self._kind == "canary":
            return [(2, 0, SHARE) if self._rng.random() < SHARE else (1, 0, 1.0 - SHARE)]
        if self._kind == "shadow":
            return [(1, 0, 1.0), (2, SHADOW, 1.0)]
        return [(number, 0, 1.0)]


async def ship(
    connection: asyncpg.Connection,
    rows: bytes,
    feedback: bytes,
    counts: tuple[int, int],
    us: int,
    *,
    span_us: int = 9_000_000,
) -> None:
    """Write one shipment as serving does."""
    start, end = (us - 1_000_000) / 1e6, (us + span_us + 1_000_000) / 1e6
    async with connection.transaction():
        number = await connection.fetchval(
            "INSERT INTO shipments (journal_id, predictions, predicted_from, predicted_to,"
            " feedback, received_from, received_to)"
            " VALUES ('00000000-0000-0000-0000-000000000001', $1, to_timestamp($3),"
            " to_timestamp($4), $2, to_timestamp($3), to_timestamp($4)) RETURNING id",
            *counts,
            start,
            end,
        )
        await connection.execute(f"SET LOCAL leadsman.shipment = '{number}'")
        for table, columns, data in (
            ("predictions", PREDICTION_COLUMNS, rows),
            ("feedback", FEEDBACK_COLUMNS, feedback),
        ):
            if data:
                await connection.copy_to_table(
                    table,
                    source=_whole(HEADER + data + TRAILER),
                    columns=list(columns),
                    format="binary",
                )


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


def postgres_seconds(root: int) -> float:
    """CPU seconds of Postgres: its first process with all its children, living and gone."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == root or int(fields[1]) == root:
            ticks += sum(map(int, fields[11:13]))
            ticks += sum(map(int, fields[13:15])) if int(entry.name) == root else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def spent_by(pid: int) -> float:
    """CPU seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


async def keep_up(url: str, kind: str, rows: int, root: int) -> dict[str, float]:
    """Consume a backlog of one busy application."""
    connection = await asyncpg.connect(url)
    rng = np.random.default_rng(1)
    await set_up(connection, 1, policy=POLICIES[kind])
    await add_reference(connection, rng)
    traffic, now = Traffic(2, kind), time.time_ns() // 1000
    settings = Settings(database_url=url)
    engine, memory = connect(url), Memory()
    span = SHIPMENT * 1_000_000 // A_SECOND
    asked = SHIPMENT // 2 if kind == "shadow" else SHIPMENT
    for number in range(rows // SHIPMENT):
        us = now + number * span
        sent = traffic.shipment([1] * asked, us, span_us=span)
        await ship(connection, *sent, (SHIPMENT, asked if sent[1] else 0), us)
        if not number:
            # Modules are loaded at their first use, and references read: once, not at each turn.
            await turn_once(engine, settings, memory=memory)
    await connection.execute("ANALYZE predictions; ANALYZE feedback; ANALYZE shipments; CHECKPOINT")
    read, labels, turns, longest = 0, 0, 0, 0.0
    wall, own, theirs = time.perf_counter(), time.process_time(), postgres_seconds(root)
    while True:
        began = time.perf_counter()
        turned = await turn_once(engine, settings, memory=memory)
        if turned is None:
            break
        longest = max(longest, time.perf_counter() - began)
        read, labels, turns = read + turned.predictions, labels + turned.labels, turns + 1
    wall = time.perf_counter() - wall
    own, theirs = time.process_time() - own, postgres_seconds(root) - theirs
    watched = await connection.fetchval("SELECT count(*) FROM watch_states WHERE status = 'armed'")
    compared = await connection.fetchval(
        "SELECT coalesce(max(observations), 0) FROM watch_states s JOIN watches w"
        " ON w.id = s.watch_id WHERE w.signal = $1 AND s.status = 'armed'",
        {"canary": "canary_difference", "shadow": "challenger_difference"}.get(kind, ""),
    )
    alarms = await connection.fetchval("SELECT count(*) FROM alarms")
    await engine.dispose()
    await connection.close()
    return {
        "rows": read,
        "labels": labels,
        "turns": turns,
        "armed_detector_states": watched,
        "rows_of_the_comparison": compared,
        "alarms_on_a_stream_without_change": alarms,
        "rows_per_second": read / wall,
        "rows_per_second_of_cpu": read / (own + theirs),
        "limit_rows_per_second": A_SECOND,
        "longest_turn_seconds": longest,
        "cpu_seconds_of_the_monitor": own,
        "cpu_seconds_of_postgres": theirs,
    }


def start_monitor(url: str, log: Path) -> subprocess.Popen[bytes]:
    """The process that people run."""
    settings = {"MONITOR_DATABASE_URL": url, "MONITOR_PORT": "0", "MONITOR_LOG_LEVEL": "WARNING"}
    root = Path(__file__).resolve().parents[1]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "monitor"],
            env=os.environ | settings,
            cwd=root,
            stdout=output,
            stderr=output,
        )


async def lay_history(connection: asyncpg.Connection, url: str) -> None:
    """Let all applications have been asked for weeks, at their own pace.

    One has; the others get its detectors as they stand after that, since all are asked alike. How
    many rows ago a step of a test was completed differs between them: they get the detectors as
    they stood after each of the last `STANDS` rows, in turn.
    """
    traffic, shipment = Traffic(5), HISTORY_ROWS // 8
    counts = [shipment] * 8 + [1] * (LATE + STANDS)
    us = time.time_ns() // 1000 - sum(counts) * PACE_US
    engine, memory, settings = connect(url), Memory(), Settings(database_url=url)
    stands: list[list[WatchState]] = []
    labels = [0] * LATE + counts
    try:
        for number, count in enumerate(counts):
            span = count * PACE_US
            sent = traffic.shipment([1] * count, us, span)
            await ship(connection, *sent, (count, labels[number]), us, span_us=span)
            us += span
            await turn_once(engine, settings, memory=memory)
            async with engine.begin() as reading:
                own = await watch_store.read_watches(reading, 1)
                stands.append(await watch_store.read_states(reading, [one.id for one in own]))
        async with engine.begin() as writing:
            await hand_on(writing, stands[-STANDS:])
    finally:
        await engine.dispose()
    # What laying it left to be written and tidied is not the monitor's.
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


async def hand_on(connection: AsyncConnection, stands: Sequence[Sequence[WatchState]]) -> None:
    """Give the first application's states to all others: to each as they stood at one time."""
    of: dict[int, dict[str, Watch]] = {}
    for watch in await watch_store.read_watches(connection):
        of.setdefault(watch.application_id, {})[watch.name] = watch
    own = {watch.id: watch for watch in of[1].values()}
    for number, watches in of.items():
        if number == 1:
            continue
        states = []
        for state in stands[number % len(stands)]:
            watch = watches[own[state.watch_id].name]
            if watch.detector == "quiet":
                continue
            subjects = [handed(one, watch, number) for one in from_row(own[state.watch_id], state)]
            states += [
                replace(
                    row,
                    room=state.room,
                    aside=state.aside,
                    observations=state.observations,
                    granted=state.granted,
                    last_observed_at=state.last_observed_at,
                )
                for row in to_rows(subjects)
            ]
        # When it was asked last is the same for all, and a short while ago.
        states += [
            replace(state, watch_id=watches["traffic"].id, subject=str(number))
            for state in stands[-1]
            if state.watch_id in own and own[state.watch_id].detector == "quiet"
        ]
        await watch_store.save_states(connection, states)
        clocks = {watches[one.name].id: one.clock for one in own.values() if one.clock is not None}
        await watch_store.move_clocks(connection, clocks)


def handed(one: Subject, watch: Watch, number: int) -> Subject:
    """The same detector at work on another application's version, whose draws have another seed."""
    before = one.detector
    other = replace(one, watch=watch, subject=str(number), awake=None, asleep=b"")
    if before is not None:
        other.arm()
        assert other.awake is not None
        state, settings = before.to_bytes(), other.awake.settings
        if settings != before.settings:
            arrays = cast("State", unpack(one.kind, before.settings, state))
            state = pack(one.kind, settings, arrays)
        other.awake.restore(state)
    return other


def told_by(log: Path) -> str:
    """What a process said."""
    return log.read_text()


async def all_read(
    connection: asyncpg.Connection, monitor: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until the monitor has read the last shipment."""
    while not await connection.fetchval(
        "SELECT shipment_id = (SELECT max(id) FROM shipments) FROM monitor_cursors"
    ):
        if monitor.poll() is not None:
            raise SystemExit(f"the monitor ended:\n{told_by(log)}")
        await asyncio.sleep(0.1)


async def stay_idle(
    url: str, applications: int, root: int, scratch: Path, *, known: bool
) -> dict[str, float]:
    """Share of a core that many applications cost which are asked now and then.

    The monitor is the process that people run, with all that it does beside reading: its hands, its
    outbox, its leases. Postgres' share is that of all its processes but the one that ships.
    """
    connection = await asyncpg.connect(url)
    await set_up(connection, applications)
    if known:
        await lay_history(connection, url)
    shipping = await connection.fetchval("SELECT pg_backend_pid()")
    traffic, rng = Traffic(3), np.random.default_rng(4)
    rate, owed = applications * IDLE_ROWS_PER_APPLICATION_AND_MINUTE / 60, 0.0
    monitor = start_monitor(url, scratch / "monitor.log")
    try:
        began = time.perf_counter()
        us = time.time_ns() // 1000
        await ship(connection, *traffic.shipment([1], us, 1), (1, 0), us)
        await all_read(connection, monitor, scratch / "monitor.log")
        ready = time.perf_counter() - began
        theirs, own, shipped, rows = 0.0, 0.0, 0.0, 0
        # Modules are loaded at their first use, once and not for ever: so that each is used before
        # the measurement, applications at every place in their tests are asked first, and their
        # labels come before it.
        first = list(range(1, min(STANDS, applications) + 1))
        for second in range(WARM_SECONDS + IDLE_SECONDS):
            if second == WARM_SECONDS:
                await all_read(connection, monitor, scratch / "monitor.log")
                theirs, own = postgres_seconds(root), spent_by(monitor.pid)
                shipped, began, rows = spent_by(shipping), time.perf_counter(), 0
            us = time.time_ns() // 1000
            count, owed = divmod(owed + rate, 1.0)
            asked = rng.integers(1, applications + 1, int(count)).tolist()
            if second < WARM_SECONDS:
                asked = asked + first if second == 0 else asked or first[:1]
            count = len(asked)
            if count:
                sent = traffic.shipment(asked, us, 1_000_000)
                await ship(connection, *sent, (count, int(bool(sent[1]))), us)
                rows += count
            await asyncio.sleep(1.0)
        await all_read(connection, monitor, scratch / "monitor.log")
        wall = time.perf_counter() - began
        own = spent_by(monitor.pid) - own
        theirs = postgres_seconds(root) - theirs - (spent_by(shipping) - shipped)
    finally:
        monitor.terminate()
        monitor.wait()
    alarms = await connection.fetchval("SELECT count(*) FROM alarms")
    await connection.close()
    return {
        "idle_applications": applications,
        "alarms_on_a_stream_without_change": alarms,
        "seconds_until_the_first_row_is_read": ready,
        "idle_rows_per_second": rows / wall,
        "idle_share_of_the_monitor": own / wall,
        "idle_share_of_postgres": theirs / wall,
        "idle_share_of_a_core": (own + theirs) / wall,
        "limit_idle_share_of_a_core": 0.05,
    }


def measure(part: str, rows: int, applications: int) -> dict[str, float]:
    """Every figure of a part, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="leadsman-monitor-") as scratch:
        server = EmbeddedPostgres(Path(scratch) / "postgres")
        url = server.start()
        try:
            root = server.pid or 0
            asyncio.run(upgrade(url.replace("postgresql://", "postgresql+asyncpg://")))
            found = asyncio.run(
                stay_idle(url, applications, root, Path(scratch), known=part == "idle")
                if part in {"idle", "new"}
                else keep_up(url, part, rows, root)
            )
        finally:
            server.stop(timedelta(seconds=10))
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--rows", type=int, default=400_000, help="rows of the busy application")
    parser.add_argument("--applications", type=int, default=2_000, help="idle applications")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {' or '.join(sorted(unknown))}")
    told: dict[str, Any] = {}
    if chosen.json and chosen.json.exists():
        told = json.loads(chosen.json.read_text())
    told["command"] = "python benchmarks/monitor.py --json benchmarks/results/monitor.json"
    for part in chosen.parts or PARTS:
        figures: dict[str, Any] = measure(part, chosen.rows, chosen.applications)
        print(part)
        for name, value in figures.items():
            print(f"    {name:40} {value:14,.4f}")
        told[part] = {
            "machine": f"{os.cpu_count()} cores of {platform.machine()},"
            f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
            **figures,
        }
        if chosen.json:
            chosen.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
