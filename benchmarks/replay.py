"""How fast `leadsman replay` goes over a file under the default watches, on one core.

Run ``python benchmarks/replay.py [--json FILE] [--rows N] [--every-row]``. A row has 20 features, a
score and a label that comes ten minutes later; nothing changes in it. Reading the Parquet file,
every signal and every default watch are measured. With ``--every-row`` no feature is watched in
blocks, which is the most work that it can be.
"""

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet

# Python looks first into the folder of the program, where another benchmark is called `monitor`.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

from monitor.replay.replay import replay_file  # noqa: E402
from monitor.watches.entries import ReplaySettings  # noqa: E402

FEATURES = 20
A_ROW_US = 5_000_000
"""Time between two requests."""
LABEL_US = 600_000_000
"""Time from a request to its label."""
GOAL_ROWS, GOAL_SECONDS = 10_000_000, 120
"""So many rows must be replayed in less than this."""


def write(path: Path, rows: int) -> None:
    """Rows in which nothing changes."""
    rng = np.random.default_rng(1)
    at = 1_700_000_000_000_000 + np.arange(rows) * A_ROW_US
    columns: dict[str, Any] = {"predicted_at": pa.array(at, pa.timestamp("us", "UTC"))}
    for number in range(FEATURES):
        columns[f"x{number}"] = rng.normal(size=rows)
    truth = (rng.random(rows) < 0.5).astype(np.int64)
    columns["output"] = np.where(rng.random(rows) < 0.1, 1 - truth, truth)
    columns["score"] = rng.random(rows)
    columns["label"] = truth
    columns["labelled_at"] = pa.array(at + LABEL_US, pa.timestamp("us", "UTC"))
    pyarrow.parquet.write_table(pa.table(columns), path)


def every_row() -> ReplaySettings:
    """The default watches, but for features, which are ranked row by row."""
    features = {"name": "features", "signal": "feature.*", "detector": "ranks", "tier": "info"}
    return ReplaySettings.model_validate({"watches": [features], "defaults": True})


def measure(rows: int, watches: ReplaySettings | None) -> dict[str, Any]:
    """Every figure, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(prefix="leadsman-replay-") as scratch:
        path = Path(scratch) / "rows.parquet"
        write(path, rows)
        own, began = time.process_time(), time.perf_counter()
        report = replay_file(path, watches=watches)
        wall, own = time.perf_counter() - began, time.process_time() - own
    armed = [one for one in report.watches if one["status"] == "armed"]
    figures: dict[str, Any] = {
        "rows": rows,
        "features": FEATURES,
        "armed_detectors": len(armed),
        "replay_rows_per_second": rows / wall,
        "seconds": wall,
        "cpu_seconds": own,
        "alarms_on_a_stream_without_change": len(report.alarms),
        "false_alarms_expected_at_most": report.expected_false_alarms,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "limit_seconds_for_10_million_rows": GOAL_SECONDS,
    }
    if rows == GOAL_ROWS:
        figures["seconds_for_10_million_rows"] = wall
    else:
        figures["seconds_for_10_million_rows_extrapolated"] = wall * GOAL_ROWS / rows
    return figures


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the file")
    parser.add_argument("--every-row", action="store_true", help="features in no blocks")
    chosen = parser.parse_args()
    figures = measure(chosen.rows, every_row() if chosen.every_row else None)
    for name, value in figures.items():
        print(f"{name:44} {value:16,.3f}")
    if chosen.json:
        told = {
            "command": f"python benchmarks/replay.py --rows {chosen.rows}"
            f"{' --every-row' if chosen.every_row else ''} --json {chosen.json}",
            "machine": f"{os.cpu_count()} cores of {platform.machine()},"
            f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
            **{name: round(value, 4) for name, value in figures.items()},
        }
        chosen.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
