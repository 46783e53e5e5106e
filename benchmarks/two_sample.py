"""Drift of 1,000,000 rows of 20 features against a reference of the same size, from arrays.

    python benchmarks/two_sample.py [--rows N] [--json FILE]

Ten numeric features (normal, lognormal, uniform, heavy-tailed, discrete; one with missing values)
and ten categorical ones of 3 to 200 categories. Timed in CPU-seconds of all threads: the bins from
the reference, the counts of the reference and of the window, and for each feature all tests that
work from counts, corrected for twenty features. In the same run scipy's two-sample
Kolmogorov-Smirnov test of the ten numeric features from the raw values.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from drift.sketches.categorical import CategoricalBins
from drift.sketches.numeric import NumericBins
from drift.two_sample.cells import Sketch
from drift.two_sample.columns import ColumnReport, compare_columns

SEED = 20261123
DRIFTED = ("n0", "n5", "c0", "c7")
"""Features that really change; all others must be found quiet."""

Result = TypeVar("Result")
Table = dict[str, NDArray[np.generic]]


def numeric_columns(rng: Generator, rows: int, *, drifted: bool) -> dict[str, NDArray[np.float64]]:
    """Ten columns as they occur: counts, amounts, durations, sensors that drop out."""
    shift = 0.02 if drifted else 0.0
    normal = rng.normal(size=(8, rows))
    return {
        "n0": normal[0] + shift,
        "n1": normal[1],
        "n2": np.exp(1.5 * normal[2]),
        "n3": rng.random(rows),
        "n4": rng.standard_t(2, rows),
        "n5": normal[3] * (1.0 + shift),
        "n6": np.floor(np.exp(normal[4])),
        "n7": np.where(rng.random(rows) < 0.05, np.nan, normal[5]),
        "n8": np.maximum(normal[6], 0.0),
        "n9": normal[7] * 1e6,
    }


def categorical_columns(
    rng: Generator, rows: int, *, drifted: bool
) -> dict[str, NDArray[np.int64]]:
    """Ten columns of category codes, from 3 to 200 categories of unequal shares."""
    columns = {}
    for index, size in enumerate((3, 4, 5, 8, 12, 20, 30, 50, 100, 200)):
        share = 1.0 / np.arange(1, size + 1)
        if drifted and f"c{index}" in DRIFTED:
            share[0] *= 1.02
        edges = np.cumsum(share / share.sum())
        columns[f"c{index}"] = np.minimum(np.searchsorted(edges, rng.random(rows)), size - 1)
    return columns


def as_text(columns: dict[str, NDArray[np.int64]]) -> Table:
    """The same categories as Python strings in object arrays."""
    names = np.array([f"category {code}" for code in range(200)], dtype=object)
    return {name: names[codes] for name, codes in columns.items()}


def sketched(reference: Table, current: Table) -> tuple[dict[str, Sketch], dict[str, Sketch]]:
    """Bins from the reference, then both windows counted."""
    first: dict[str, Sketch] = {}
    second: dict[str, Sketch] = {}
    for name, values in reference.items():
        if values.dtype.kind == "f":
            numbers = NumericBins.from_reference(values.astype(np.float64, copy=False))
            first[name] = numbers.sketch(values.astype(np.float64, copy=False))
            second[name] = numbers.sketch(current[name].astype(np.float64, copy=False))
        else:
            categories = CategoricalBins.from_reference(values)
            first[name] = categories.sketch(values)
            second[name] = categories.sketch(current[name])
    return first, second


def cpu_seconds(work: Callable[[], Result], repeats: int = 3) -> tuple[float, Result]:
    """The fastest of a few runs, and what it gave."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = options.rows

    rng = np.random.default_rng(SEED)
    numbers = [numeric_columns(rng, rows, drifted=drifted) for drifted in (False, True)]
    codes = [categorical_columns(rng, rows, drifted=drifted) for drifted in (False, True)]

    def ours() -> dict[str, ColumnReport]:
        return compare_columns(*sketched({**numbers[0], **codes[0]}, {**numbers[1], **codes[1]}))

    seconds, reports = cpu_seconds(ours)
    sketches = sketched({**numbers[0], **codes[0]}, {**numbers[1], **codes[1]})
    tests, _ = cpu_seconds(lambda: compare_columns(*sketches))
    window, _ = cpu_seconds(
        lambda: [
            sketches[0][name].bins.sketch(values)  # type: ignore[arg-type]  # bins and values of one column
            for name, values in {**numbers[1], **codes[1]}.items()
        ]
    )
    text = [as_text(half) for half in codes]
    with_text, _ = cpu_seconds(
        lambda: compare_columns(*sketched({**numbers[0], **text[0]}, {**numbers[1], **text[1]})), 1
    )
    peer, gaps = cpu_seconds(
        lambda: {
            name: stats.ks_2samp(
                values[~np.isnan(values)],
                numbers[1][name][~np.isnan(numbers[1][name])],
                method="asymp",
            ).statistic
            for name, values in numbers[0].items()
        },
        1,
    )
    found = sorted(
        name
        for name, report in reports.items()
        if report.adjusted_pvalue is not None and report.adjusted_pvalue <= 0.001
    )
    short = max(
        gaps[name] - report.comparisons[0].statistic
        for name, report in reports.items()
        if name in gaps
    )
    figures = {
        "rows": rows,
        "million_rows_cpu_seconds": round(seconds, 4),
        "window_counts_cpu_seconds": round(window, 4),
        "tests_from_counts_cpu_seconds": round(tests, 4),
        "million_rows_text_cpu_seconds": round(with_text, 4),
        "scipy_ks_2samp_ten_numeric_cpu_seconds": round(peer, 4),
        "scipy_over_ours": round(peer / seconds, 1),
        "largest_ks_gap_lost_to_bins": round(float(short), 6),
        "sketch_bytes": sum(len(sketch.to_bytes()) for sketch in sketches[1].values()),
        "drifted": list(DRIFTED),
        "found": found,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "command": f"python benchmarks/two_sample.py --rows {rows} --json FILE",
    }
    for name, figure in figures.items():
        sys.stdout.write(f"{name:42} {figure}\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
