"""Two windows as counts of the same cells."""

import numpy as np
from numpy.typing import NDArray

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.sketches.categorical import CategoricalSketch
from drift.sketches.numeric import NumericSketch
from drift.two_sample.base import MIN_SIZE

Sketch = NumericSketch | CategoricalSketch
Counts = NDArray[np.int64]


def paired_cells(reference: Sketch, current: Sketch) -> tuple[Counts, Counts]:
    """The counts of both, without cells that are empty in both.

    Out of range, OTHER, UNSEEN and missing are cells like any other: a feature that is suddenly
    absent has changed.

    Raises
    ------
    InvalidSettingError
        If they were not counted in the same cells.
    InsufficientDataError
        If one holds fewer than `MIN_SIZE` rows.
    """
    if reference.bins != current.bins:
        raise InvalidSettingError("current", "the cells of the reference", current.bins)
    for name, sketch in (("reference", reference), ("current", current)):
        if sketch.rows < MIN_SIZE:
            raise InsufficientDataError(name, MIN_SIZE, sketch.rows)
    first = np.array(reference.counts, dtype=np.int64)
    second = np.array(current.counts, dtype=np.int64)
    used = (first + second) > 0
    return first[used], second[used]


def present_counts(reference: NumericSketch, current: NumericSketch) -> tuple[Counts, Counts]:
    """The counts of both in order of value, without what is missing.

    Raises
    ------
    InvalidSettingError
        If they were not counted in the same bins.
    InsufficientDataError
        If one holds fewer than `MIN_SIZE` values.
    """
    paired_cells(reference, current)
    for name, sketch in (("values of reference", reference), ("values of current", current)):
        if sketch.rows - sketch.missing < MIN_SIZE:
            raise InsufficientDataError(name, MIN_SIZE, sketch.rows - sketch.missing)
    return (
        np.array(reference.counts[:-1], dtype=np.int64),
        np.array(current.counts[:-1], dtype=np.int64),
    )


def shares(counts: Counts) -> NDArray[np.float64]:
    """Counts as shares of their sum.

    Raises
    ------
    InvalidObservationError
        If they sum to nothing.
    """
    total = int(counts.sum())
    if total == 0:
        raise InvalidObservationError("counts", "at least one row", "none")
    return counts / total


def sampling_chi_square(reference: Counts, current: Counts) -> float:
    """What sampling alone makes of sum (p - q)^2 / p on average, over cells that are not empty.

    Each cell but one is free, and its difference has the variance p (1/n + 1/m).
    """
    return (len(reference) - 1) * (1.0 / int(reference.sum()) + 1.0 / int(current.sum()))
