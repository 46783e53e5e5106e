"""Packages that need an environment of their own: windowed drift, and detectors of errors."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drift.base import Values
from race.contest import Delay, FalseAlarms, delays
from race.error_rates import AFTER, BEFORE, CHANGE, NULL_ROWS, REST
from race.features import CHANGES, FEATURES, REFERENCE, RUN_LENGTH, WARM, WINDOW
from race.features import REST as REST_OF_FEATURES

WINDOWED = {
    "evidently": "Evidently",
    "nannyml": "NannyML",
    "frouros": "frouros KSTest",
}
"""Packages that compare windows, and what their lines are called."""

STREAMING = {
    "ecdd-wt": "frouros ECDD-WT",
    "rddm": "frouros RDDM",
    "cusum": "frouros CUSUM",
    "gma": "frouros geometric moving average",
}
"""Detectors of frouros that river lacks; those that both have are river's in the tables."""

NULL_WINDOWS = 200
"""Windows of each of the features without a change: as many rows as the family may take to one
false alarm, so the largest distances of them all make a threshold of that level."""

CHANGED = 40
"""Features that change, each a column of its own."""

STREAMS, NULL_STREAMS = 60, 12
"""Streams of errors with a change, and without one."""

Line = tuple[FalseAlarms, dict[str, Delay]]

# Some of them report their use to their makers over the network.
_QUIET = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}


def compare(
    package: str, python: Path, reference: Values, stream: Values
) -> tuple[Values, NDArray[np.bool_], float]:
    """Return distance and verdict of each window and column, and the CPU seconds."""
    found = _worked(
        python, "window_worker.py", package, reference=reference, stream=stream, size=WINDOW
    )
    return found["values"], found["alarms"].astype(bool), float(found["seconds"])


def titles(package: str) -> list[str]:
    """Names of its two lines."""
    return [f"{WINDOWED[package]} each {WINDOW} rows, {how}" for how in ("defaults", "tuned")]


def windowed(package: str, python: Path, rng: np.random.Generator) -> dict[str, Line]:
    """Two lines: with default thresholds, and tuned to the false alarms that ours are granted."""
    reference = rng.standard_normal((REFERENCE, FEATURES))
    stream = rng.standard_normal((NULL_WINDOWS * WINDOW, FEATURES))
    values, alarms, seconds = compare(package, python, reference, stream)
    # As many null windows exceed it as are expected to at that level.
    allowed = NULL_WINDOWS * WINDOW / RUN_LENGTH
    threshold = float(np.sort(values, axis=None)[-max(round(allowed), 1)])
    lines: dict[str, Line] = {}
    changed = {change: _changed(package, python, change, rng) for change in CHANGES}
    for title, tuned in zip(titles(package), (False, True), strict=True):
        total = int((values >= threshold).sum()) if tuned else int(alarms.sum())
        quiet = FalseAlarms(
            per_50k=total * 50_000 / len(stream),
            any_in_50k=float("nan"),
            alarms=total,
            rows=len(stream),
            microseconds=seconds / stream.size * 1e6,
        )
        lines[title] = (
            quiet,
            {
                change: _delay(found >= threshold if tuned else said, at)
                for change, (found, said, at) in changed.items()
            },
        )
    return lines


def streaming(python: Path, name: str, rng: np.random.Generator) -> Line:
    """One detector of errors with its default settings."""
    null = (rng.random((NULL_STREAMS, NULL_ROWS)) < BEFORE).astype(np.float64)
    found = _worked(python, "stream_worker.py", name, streams=null, change=0, all=True)
    alarms = found["alarms"]
    quiet = FalseAlarms(
        per_50k=float(alarms.sum()) * 50_000 / null.size,
        any_in_50k=float((alarms > 0).mean()),
        alarms=int(alarms.sum()),
        rows=null.size,
        microseconds=float(found["seconds"]) / null.size * 1e6,
    )
    delayed = {}
    for after in AFTER:
        rates = np.where(np.arange(CHANGE + REST) < CHANGE, BEFORE, after)
        streams = (rng.random((STREAMS, len(rates))) < rates).astype(np.float64)
        found = _worked(python, "stream_worker.py", name, streams=streams, change=CHANGE, all=False)
        delayed[f".10 to .{round(after * 100):02d}"] = delays(found["delays"].tolist())
    return quiet, delayed


def _changed(
    package: str, python: Path, change: str, rng: np.random.Generator
) -> tuple[Values, NDArray[np.bool_], NDArray[np.int64]]:
    """Windows of features that change, each within a window of its own place."""
    shift, variance = CHANGES[change]
    rows = WARM + WINDOW + REST_OF_FEATURES
    stream = rng.standard_normal((rows, CHANGED))
    at = WARM + rng.integers(WINDOW, size=CHANGED)
    changed = np.arange(rows)[:, None] >= at
    stream = np.where(changed, shift + np.sqrt(variance) * stream, stream)
    values, alarms, _ = compare(package, python, rng.standard_normal((REFERENCE, CHANGED)), stream)
    return values, alarms, at


def _delay(alarms: NDArray[np.bool_], at: NDArray[np.int64]) -> Delay:
    ends = (np.arange(len(alarms)) + 1) * WINDOW
    found = []
    for column, change in enumerate(at.tolist()):
        rows_after = ends[alarms[:, column] & (ends > change)] - change
        found.append(float(rows_after[0]) if len(rows_after) else np.inf)
    return delays(found)


def _worked(python: Path, worker: str, what: str, **given: object) -> Mapping[str, Values]:
    """Run a worker in its environment, arrays in and arrays out."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, **given)  # type: ignore[arg-type]  # numbers are stored as arrays, too
        command = [str(python), str(Path(__file__).with_name(worker)), what]
        subprocess.run(
            [*command, str(source), str(target)],
            check=True,
            capture_output=True,
            timeout=1_800,
            env=os.environ | _QUIET,
        )
        with np.load(target) as found:
            return dict(found)
