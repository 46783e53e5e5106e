"""What keeping a record costs: encoding, journal, shipping into Postgres.

Run ``python benchmarks/record.py [--json FILE]``. A row has 20 features and 2 scores, as in the
literature on serving. Postgres is the embedded one with every safety on.
"""

import argparse
import asyncio
import json
import os
import platform
import struct
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

import uvloop

# Python looks first into the folder of the program, where another benchmark is called `serving`.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

from leadsman.embedded_postgres import EmbeddedPostgres  # noqa: E402
from migrations.upgrade import upgrade  # noqa: E402
from serving.copy_format import encode_prediction  # noqa: E402
from serving.ids import new_prediction_id  # noqa: E402
from serving.journal import Journal  # noqa: E402
from serving.shipping import Shipping  # noqa: E402

GROUPS = (1, 16, 64)
"""Rows of one turn of the event loop: requests that were answered together."""
SECONDS = 1.5
TURNS = 3
"""Repetitions; the median is told."""
BACKLOG = 100_000
"""Rows that wait for Postgres when shipping begins."""
LIMIT = 2**32

INPUT = struct.pack("<20d", *(n / 7 for n in range(20)))
SCORES = struct.pack("<2d", 0.25, 0.75)


def row(now_us: int) -> bytes:
    """Encode one prediction."""
    return encode_prediction(
        now_us, new_prediction_id(now_us), 1, 1, 1, 0, None, 900, 1.0, INPUT, b"1", SCORES, None
    )


def encode_rate() -> float:
    """Rows encoded in a second, ids included."""
    now_us = time.time_ns() // 1000
    count, until = 0, time.perf_counter() + SECONDS / 3
    started = time.perf_counter()
    while time.perf_counter() < until:
        for _ in range(100):
            row(now_us)
        count += 100
    return count / (time.perf_counter() - started)


async def append_rate(folder: Path, per_turn: int) -> float:
    """Rows a second through a journal that nobody ships, each turn awaited."""
    journal = Journal(folder / "journal.db", LIMIT)
    now_us = time.time_ns() // 1000
    rows = [row(now_us) for _ in range(per_turn)]
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        tickets = [journal.append_prediction(one, now_us) for one in rows]
        await tickets[-1].kept()
        count += per_turn
    rate = count / (time.perf_counter() - started)
    journal.close()
    return rate


async def ship_rate(folder: Path, url: str) -> float:
    """Rows a second from a full journal into Postgres."""
    journal = Journal(folder / "journal.db", LIMIT)
    now_us = time.time_ns() // 1000
    for start in range(0, BACKLOG, 64):
        for _ in range(min(64, BACKLOG - start)):
            journal.append_prediction(row(now_us), now_us)
        journal.flush()
    shipping = Shipping(journal, url)
    started = time.perf_counter()
    task = asyncio.create_task(shipping.run())
    assert await shipping.drain(300), "not shipped in five minutes"
    rate = BACKLOG / (time.perf_counter() - started)
    task.cancel()
    await asyncio.wait([task])
    journal.close()
    return rate


async def commit_latency(folder: Path, url: str) -> float:
    """Milliseconds from a record to its commit in Postgres, one at a time; the median of 200."""
    journal = Journal(folder / "journal.db", LIMIT)
    task = asyncio.create_task(Shipping(journal, url).run())
    taken = []
    for _ in range(200):
        now_us = time.time_ns() // 1000
        started = time.perf_counter()
        await journal.append_prediction(row(now_us), now_us).shipped()
        taken.append(time.perf_counter() - started)
    task.cancel()
    await asyncio.wait([task])
    journal.close()
    return median(taken) * 1000


def measure() -> dict[str, float]:
    """Every figure, the median of `TURNS` runs."""
    runs: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        runs.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory(prefix="leadsman-record-") as scratch:
        server = EmbeddedPostgres(Path(scratch) / "postgres")
        url = server.start()
        try:
            alchemy = url.replace("postgresql://", "postgresql+asyncpg://")
            asyncio.run(upgrade(alchemy))
            for turn in range(TURNS):
                folder = Path(scratch) / str(turn)
                note("encoded_rows_per_second", encode_rate())
                for per_turn in GROUPS:
                    rate = uvloop.run(append_rate(folder / str(per_turn), per_turn))
                    note(f"appended_rows_per_second_turns_of_{per_turn}", rate)
                note("shipped_rows_per_second", uvloop.run(ship_rate(folder / "ship", url)))
                note("commit_ms_one_at_a_time", uvloop.run(commit_latency(folder / "one", url)))
        finally:
            server.stop(timedelta(seconds=10))
    return {name: round(median(values), 3) for name, values in runs.items()}


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    chosen = parser.parse_args()
    figures = measure()
    for name, value in figures.items():
        print(f"{name:45} {value:14,.1f}")
    if chosen.json:
        told = {
            "command": f"python benchmarks/record.py --json {chosen.json}",
            "machine": f"{os.cpu_count()} cores of {platform.machine()},"
            f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
            **figures,
        }
        chosen.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
