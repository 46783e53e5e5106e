"""Sums of every signal over short stretches of time, from which plots are drawn."""

import numpy as np
from numpy.typing import NDArray

from monitor.evidence import Sums
from monitor.moments import from_micros
from monitor.signals.base import QUALITY, Extracted, Observations
from monitor.store.alarms import Point

Floats = NDArray[np.float64]


def points_of(extracted: Extracted, step_us: int) -> list[Point]:
    """Sums of what a turn observed.

    Parameters
    ----------
    step_us
        Length of a stretch, in microseconds.
    """
    points: list[Point] = []
    for (application, signal), seen in extracted.items():
        if len(seen):
            points += _sums(application, signal, seen, step_us)
    return points


def _sums(application: int, signal: str, seen: Observations, step_us: int) -> list[Point]:
    values = seen.value if seen.columns else seen.value[:, None]
    known = ~np.isnan(values)
    values = np.where(known, values, 0.0)
    stretch = seen.at // step_us
    first = int(stretch.min())
    # The order of cells is that of stretches, then of subjects, as they are told.
    cell = (stretch - first) * len(seen.names) + seen.code
    if len(cell) == 1:
        cells, counts, totals, squares = cell, known.astype(np.int64), values, np.square(values)
    else:
        order = np.argsort(cell, kind="stable")
        begins = np.flatnonzero(np.diff(cell[order], prepend=-1))
        cells = cell[order][begins]
        counts = np.add.reduceat(known[order], begins, dtype=np.int64)
        totals = np.add.reduceat(values[order], begins)
        squares = np.add.reduceat(np.square(values[order]), begins)
    signals = [signal]
    if seen.columns:
        family = signal.partition(".")[0]
        signals = [f"{family}.{name}" for name in seen.columns]
    told = counts > 0
    if signal == QUALITY:
        # Only the stretches with faults are kept: most have none.
        told &= totals.any(axis=0)
    moments = [
        from_micros((first + place) * step_us) for place in (cells // len(seen.names)).tolist()
    ]
    names = [seen.names[code] for code in (cells % len(seen.names)).tolist()]
    return [
        Point(
            application,
            signals[member],
            names[row],
            moments[row],
            Sums(int(counts[row, member]), float(totals[row, member]), float(squares[row, member])),
        )
        for member in range(len(signals))
        for row in np.flatnonzero(told[:, member]).tolist()
    ]
