"""The whole series through the detectors, with the unit that the diagnostics choose.

Run ``python examples/electricity/whole_series.py [--json FILE]``. A logistic regression learns from
rows 0 to 3,999, rows 4,000 to 13,999 are the reference, and the rest is watched on a budget of one
false alarm a year for all streams together. Each stream is watched in blocks of the size that the
diagnostics recommend, or not at all where they refuse; what its single rows would have raised is
shown beside it.
"""

import argparse
import csv
import gzip
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from drift.base import Detector
from drift.diagnostics import design_effect, recommend_block, refusal
from drift.errors import InsufficientDataError
from drift.means.blocks import Blocks
from drift.means.bounded import BoundedMean
from drift.means.reference import upper_limit
from drift.ranks.numeric import NumericRanks, edges_from, meaning

Array = NDArray[np.float64]

FILE = Path(__file__).with_name("electricity.csv.gz")
FEATURES = ("nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")
TRAINED, REFERENCE = 4_000, 14_000
"""Rows before these are for training, and for the reference."""

ROWS_A_YEAR = 48 * 365.25
BUDGET = 1.0
"""False alarms a year, for all streams together."""

TOLERANCE = 0.02
"""Rise of the error rate that is not worth an alarm."""


@dataclass(frozen=True, slots=True)
class Found:
    """One alarm."""

    row: int
    """Row of the series at which it was raised."""
    onset: int
    """Row at which the evidence began to grow, as estimated."""
    says: str
    again: int
    """Later alarms of the same onset: what has changed stays changed, and the test starts anew."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One watched quantity."""

    name: str
    usual: float
    """Mean of the reference."""
    design_effect: float
    refused: str | None
    """Why single rows may not be watched; None where they may."""
    unit: int | None
    """Rows a block, as recommended; None where no block passes."""
    alarms: list[Found]
    single_rows: int
    """Alarms that single rows would have raised on the same budget."""


def read() -> tuple[Array, Array]:
    """Return the inputs and the labels, in time order."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    names = ("period", *FEATURES)
    inputs = np.array([[float(row[name]) for name in names] for row in rows])
    return inputs, np.array([float(row["up"]) for row in rows])


def watched(name: str, series: Array, *, loss: bool) -> Stream:
    """Choose the unit on the reference rows, then watch the rest."""
    reference, rest = series[TRAINED:REFERENCE], series[REFERENCE:]
    budget = BUDGET / (1 + len(FEATURES)) / ROWS_A_YEAR
    effect, refused = design_effect(reference), refusal(reference)
    unit: int | None = 1
    if refused:
        try:
            unit = recommend_block(reference)
        except InsufficientDataError:
            unit = None
    alarms: list[Found] = []
    if unit is not None:
        for step, onset, says in fed(reference, rest, unit, budget, loss=loss):
            at = REFERENCE + (step + 1) * unit - 1
            began = max(at - onset * unit, REFERENCE)
            if alarms and began <= alarms[-1].row:
                alarms[-1] = replace(alarms[-1], again=alarms[-1].again + 1)
            else:
                alarms.append(Found(at, began, says, 0))
    single = len(fed(reference, rest, 1, budget, loss=loss))
    return Stream(name, float(reference.mean()), effect.value, refused, unit, alarms, single)


def fed(
    reference: Array, rest: Array, unit: int, budget: float, *, loss: bool
) -> list[tuple[int, int, str]]:
    """Return step, onset and meaning of each alarm on blocks of this size."""
    usual, _ = Blocks(unit).push(reference)
    values, _ = Blocks(unit).push(rest)
    detector: Detector
    if loss:
        limit = upper_limit(usual, tolerance=TOLERANCE)
        detector = BoundedMean(limit, averaged=unit > 1)
    else:
        # Edges from a fifth of the reference; the rest is in the pool before the stream begins.
        edges, pool = np.split(usual, [len(usual) // 5])
        detector = NumericRanks(edges_from(edges))
        detector.update(pool, np.zeros((len(pool), 1)))
    update = detector.update(values, np.full((len(values), 1), unit * budget))
    said = []
    for alarm in update.alarms:
        says = meaning(alarm.stake)
        if loss:
            since = values[max(alarm.step - alarm.onset, 0) : alarm.step + 1].mean()
            says = f"a mean of {since:.2f} since then, where {limit:.2f} is accepted"
        said.append((alarm.step, alarm.onset, says))
    return said


def main() -> None:
    """Replay the series and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the findings to this file")
    arguments = parser.parse_args()
    inputs, labels = read()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(inputs[:TRAINED], labels[:TRAINED])
    streams = [watched("loss", (model.predict(inputs) != labels).astype(np.float64), loss=True)]
    for column, name in enumerate(FEATURES, start=1):
        series = inputs[:, column]
        usual = series[TRAINED]
        if (series[TRAINED:REFERENCE] == usual).all():
            # A constant has no ranks: what may be watched is whether it stays what it was.
            moved = (series != usual).astype(np.float64)
            streams.append(watched(f"{name} other than {usual:.4g}", moved, loss=True))
        else:
            streams.append(watched(name, series, loss=False))
    for stream in streams:
        mean = f", mean {stream.usual:.3f} in the reference" if stream.name == "loss" else ""
        print(f"\n{stream.name}: design effect {stream.design_effect:.1f}{mean}")
        if stream.refused:
            print(f"  refused row by row: {stream.refused}")
        if stream.unit is None:
            print("  not watched: no block size passes on the reference")
        else:
            days = stream.unit / 48
            print(f"  watched in blocks of {stream.unit} rows ({days:.1f} days)")
        for found in stream.alarms:
            again = f", and {found.again} more" if found.again else ""
            print(f"  row {found.row:,}: {found.says}; began about {found.onset:,}{again}")
        print(f"  single rows would have raised {stream.single_rows} alarms")
    if arguments.json:
        text = json.dumps([asdict(stream) for stream in streams], indent=2, ensure_ascii=False)
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
