"""Windowed drift by packages that need an environment of their own."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drift.base import Values
from race.contest import Delay, FalseAlarms, delays
from race.features import CHANGES, FEATURES, REFERENCE, REST, WARM, WINDOW

NAMES = {"evidently": "Evidently each 500 rows", "nannyml": "NannyML each 500 rows"}
"""Packages that the worker knows, and what their lines are called."""

NULL_ROWS = 20_000
CHANGED = 30
"""Features that change, each a column of its own."""


def compared(
    package: str, python: Path, reference: Values, stream: Values
) -> tuple[NDArray[np.bool_], float]:
    """Return which windows of which columns alarm, and the CPU seconds."""
    worker = Path(__file__).with_name("window_worker.py")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, reference=reference, stream=stream, size=WINDOW)
        command = [str(python), str(worker), package, str(source), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=1_800)
        with np.load(target) as found:
            return found["alarms"], float(found["seconds"])


def null(package: str, python: Path, rng: np.random.Generator) -> FalseAlarms:
    """Count the alarms of one family while nothing changes."""
    alarms, seconds = compared(
        package,
        python,
        rng.standard_normal((REFERENCE, FEATURES)),
        rng.standard_normal((NULL_ROWS, FEATURES)),
    )
    total = int(alarms.sum())
    return FalseAlarms(
        per_50k=total * 50_000 / NULL_ROWS,
        any_in_50k=float(total > 0),
        alarms=total,
        rows=NULL_ROWS,
        microseconds=seconds / NULL_ROWS / FEATURES * 1e6,
    )


def found(package: str, python: Path, change: str, rng: np.random.Generator) -> Delay:
    """Measure how soon changes are found, each in a window of its own place."""
    shift, variance = CHANGES[change]
    rows = WARM + WINDOW + REST
    stream = rng.standard_normal((rows, CHANGED))
    at = WARM + rng.integers(WINDOW, size=CHANGED)
    changed = np.arange(rows)[:, None] >= at
    stream = np.where(changed, shift + np.sqrt(variance) * stream, stream)
    alarms, _ = compared(package, python, rng.standard_normal((REFERENCE, CHANGED)), stream)
    ends = (np.arange(len(alarms)) + 1) * WINDOW
    found = []
    for column in range(CHANGED):
        rows_after = ends[alarms[:, column] & (ends > at[column])] - at[column]
        found.append(float(rows_after[0]) if len(rows_after) else np.inf)
    return delays(found)
