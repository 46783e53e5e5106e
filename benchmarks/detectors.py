"""How many values a second the detectors take on one core.

Run ``python benchmarks/detectors.py [--json FILE]``. Every figure is CPU time of one core, the best
of several repeats; river's ADWIN is timed in the same run, on the same rows.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from two_sample import SEED, categorical_columns, numeric_columns, sketched

from drift.canary.paired import PairedExcess
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool
from drift.means.stakes import mean_stakes
from drift.ranks.categorical import TOP, CategoricalRanks
from drift.ranks.numeric import NumericRanks, edges_from
from drift.streaming.river_adapter import Streaming
from drift.streams import Streams
from drift.two_sample.columns import compare_columns

ROWS = 1_000_000
"""Rows in a measured batch."""

HARMONIC = 1.0 / np.arange(1, TOP + 1)
"""Shares of categories before they are made to sum to one: as unequal as words in a text."""


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """CPU seconds of the fastest of several runs; the others were disturbed."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure() -> dict[str, float]:
    """Rates by name, in rows a second of one core."""
    rng = np.random.default_rng(20261101)
    errors = (rng.random(ROWS) < 0.1).astype(np.float64)
    losses = rng.beta(0.5, 4.5, ROWS)
    differences = errors - (rng.random(ROWS) < 0.1)
    grants = np.full((ROWS, 1), 1e-7)
    three = np.full((ROWS, 3), 1e-7)

    def batches(size: int) -> Callable[[], None]:
        def run() -> None:
            detector = BoundedMean(0.1)
            for start in range(0, ROWS, size):
                part = slice(start, start + size)
                detector.update(errors[part], grants[part])

        return run

    def ticks() -> None:
        many = Streams(10_000, stakes=8)
        stakes = mean_stakes(0.1)[:, None]
        base, grant = 1.0 - 0.1 * stakes, np.array([1e-7])
        for tick in range(100):
            many.step(base + stakes * errors[tick * 10_000 : (tick + 1) * 10_000], grant)

    few = 100_000
    numbers = rng.normal(size=ROWS)
    edges = edges_from(rng.normal(size=5_000))
    shares = [*(0.97 * HARMONIC / HARMONIC.sum()), 0.03, 0.0]
    categories = rng.choice(len(shares), ROWS, p=shares).astype(np.float64)
    rates = {
        "exact_rows_per_second": ROWS / seconds(lambda: BoundedMean(0.1).update(errors, grants)),
        "exact_bounded_rows_per_second": ROWS
        / seconds(lambda: BoundedMean(0.11).update(losses, grants)),
        "exact_three_tiers_rows_per_second": ROWS
        / seconds(lambda: BoundedMean(0.1, tiers=3).update(errors, three)),
        "exact_batches_of_256_rows_per_second": ROWS / seconds(batches(256), 3),
        "pool_rows_per_second": ROWS / seconds(lambda: GrowingPool(0.1).update(errors, grants)),
        "paired_rows_per_second": ROWS
        / seconds(lambda: PairedExcess(0.01).update(differences, grants)),
        "rank_values_per_second": ROWS
        / seconds(lambda: NumericRanks(edges).update(numbers, grants), 3),
        "categorical_rank_values_per_second": ROWS
        / seconds(lambda: CategoricalRanks(shares).update(categories, grants), 3),
        "stream_updates_per_second": ROWS / seconds(ticks),
        "river_adwin_rows_per_second": few
        / seconds(lambda: Streaming("adwin").update(errors[:few], grants[:few]), 3),
    }
    rates["exact_over_river_adwin"] = (
        rates["exact_rows_per_second"] / rates["river_adwin_rows_per_second"]
    )
    ranks = NumericRanks(edges)
    ranks.update(numbers[:100_000], grants[:100_000])
    rates["state_bytes"] = float(len(BoundedMean(0.1).to_bytes()))
    rates["rank_state_bytes"] = float(len(ranks.to_bytes()))
    coded = CategoricalRanks(shares)
    coded.update(categories[:100_000], grants[:100_000])
    rates["categorical_rank_state_bytes"] = float(len(coded.to_bytes()))
    rates |= million_rows()
    return rates


def million_rows() -> dict[str, float]:
    """CPU seconds of comparing a million rows of 20 features with a reference as long."""
    rng = np.random.default_rng(SEED)
    tables = []
    for drifted in (False, True):
        numbers: dict[str, NDArray[np.generic]] = dict(numeric_columns(rng, ROWS, drifted=drifted))
        codes = categorical_columns(rng, ROWS, drifted=drifted)
        tables.append({**numbers, **codes})
    first, second = tables
    ours = seconds(lambda: compare_columns(*sketched(first, second)), 3)
    columns = [name for name, values in first.items() if values.dtype.kind == "f"]

    def scipys() -> None:
        for name in columns:
            before, after = (table[name].astype(np.float64) for table in tables)
            stats.ks_2samp(before, after, method="asymp")

    peer = seconds(scipys, 1)
    return {
        "million_rows_cpu_seconds": ours,
        "scipy_ks_of_ten_columns_cpu_seconds": peer,
        "scipy_ks_over_ours": peer / ours,
    }


TARGETS = {
    "stream_updates_per_second": 15e6,
    "exact_rows_per_second": 3e6,
    "rank_values_per_second": 1.5e6,
    "categorical_rank_values_per_second": 1.5e6,
}
"""Least rates that one core has to reach."""


def main() -> None:
    """Print a table, and write the same figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    rates = measure()
    for name, rate in rates.items():
        wanted = TARGETS.get(name)
        told = "" if wanted is None else f"   {rate / wanted:.2f} of the target"
        sys.stdout.write(f"{name:<40} {rate:>16,.2f}{told}\n")
    if arguments.json:
        figures = {
            "command": "python benchmarks/detectors.py --json benchmarks/results/detectors.json",
            "machine": f"one core of {platform.machine()}, Python {platform.python_version()}, "
            f"numpy {np.__version__}",
            **{name: round(rate, 2) for name, rate in rates.items()},
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
