"""Where a value falls: bins of numbers, counted fast, and the different values of a column.

Edges come from the reference and from nothing else, so that windows counted by different workers
on different days add up.
"""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drift.errors import InvalidObservationError

Category = str | int | float
"""One value of a categorical column. 1, 1.0 and True are the same category; 1 and "1" are not."""

EDGE_SAMPLE = 50_000
"""Most values that edges are taken from: every k-th of a longer reference. Fewer values move the
edges a little, which changes how fine the bins are and nothing else."""

_GRID = 4_096
"""Equal cells laid under the edges to find a value's bin without a search; fits the first cache."""

_BLOCK = 32_768
"""Values binned at once: few enough that each pass finds them in the cache."""


def quantile_edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Edges of bins that hold about equally many of these values.

    Parameters
    ----------
    values : shape (n,), n at least 1
        Finite, in the feature's unit.
    bins
        Most bins wanted; fewer come out where many values are the same.

    Returns
    -------
    shape (k + 1,), k at most bins
        Increasing. Bin j is [edge j, edge j + 1); the last edge lies just above the largest value.
        If there are no more than `bins` different values, each has a bin that begins with it.
    """
    lowest, highest = values.min(), values.max()
    sample = np.sort(values[:: -(-len(values) // EDGE_SAMPLE)])
    different = np.unique(sample)
    if len(different) > bins:
        # Ranks, not interpolated quantiles: an edge is a value, so a frequent one begins a bin.
        ranks = np.arange(bins) * len(sample) // bins
        different = np.unique(sample[ranks])
    inner = different[(different > lowest) & (different <= highest)]
    return np.concatenate([[lowest], inner, [np.nextafter(highest, np.inf)]])


class Grid:
    """Counts values by bin: what a binary search of every value finds, several times faster.

    The range of the edges is cut into equal cells. A value's cell is one subtraction and one
    product, both of which keep the order of numbers even when rounded; so all values of a cell
    that holds no edge lie in one bin, and only those that share a cell with an edge are searched.
    """

    __slots__ = ("_bin_of_cell", "_edges", "_has_edge", "_origin", "_scale")

    def __init__(self, edges: NDArray[np.float64]) -> None:
        self._edges = edges
        # One extreme value must not make the cells coarse where the values are: with four edges
        # or more the grid leaves the outermost bins to the search.
        first, last = (edges[1], edges[-2]) if len(edges) > 3 else (edges[0], edges[-1])
        self._origin = first
        with np.errstate(over="ignore", divide="ignore"):
            scale = _GRID / (last - first)
        # A range too wide or too narrow for doubles: every value is searched.
        self._scale = float(scale) if np.isfinite(scale) and scale > 0.0 else None
        if self._scale is not None:
            cells = self._cells(edges)
            self._has_edge = np.zeros(_GRID + 2, dtype=np.bool_)
            self._has_edge[cells] = True
            self._bin_of_cell = np.searchsorted(cells, np.arange(_GRID + 2), side="left")

    def count(self, values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int, float, float]:
        """Count by bin, with one bin before the first edge and one from the last edge on.

        Parameters
        ----------
        values : shape (n,)
            NaN is missing; an infinity lies outside all edges.

        Returns
        -------
        counts : shape (k + 2,)
            Below, the k bins, above.
        missing
            How many were NaN.
        lowest, highest
            Of what is not missing; infinity and minus infinity if nothing is.
        """
        counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        missing, lowest, highest = 0, np.inf, -np.inf
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            least = block.min()
            if np.isnan(least):
                block = block[~np.isnan(block)]
                missing += min(_BLOCK, len(values) - start) - len(block)
                if not len(block):
                    continue
                least = block.min()
            lowest, highest = min(lowest, float(least)), max(highest, float(block.max()))
            counts += self._count_block(block)
        return counts, missing, lowest, highest

    def _count_block(self, block: NDArray[np.float64]) -> NDArray[np.int64]:
        size = len(self._edges) + 1
        if self._scale is None:
            found = np.searchsorted(self._edges, block, side="right")
            return np.bincount(found, minlength=size)
        cells = self._cells(block)
        by_cell = np.bincount(cells, minlength=_GRID + 2)
        by_cell[self._has_edge] = 0
        counts = np.zeros(size, dtype=np.int64)
        np.add.at(counts, self._bin_of_cell, by_cell)
        near = block[self._has_edge[cells]]
        counts += np.bincount(np.searchsorted(self._edges, near, side="right"), minlength=size)
        return counts

    def _cells(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """From 0, before the grid, to `_GRID` + 1, behind it."""
        with np.errstate(over="ignore"):
            position = values - self._origin
            position *= self._scale
        position += 1.0
        np.clip(position, 0.0, _GRID + 1.0, out=position)
        cells: NDArray[np.intp] = position.astype(np.intp)
        return cells


def count_categories(name: str, values: NDArray[np.generic]) -> tuple[dict[Category, int], int]:
    """Count each different value of a column.

    Parameters
    ----------
    values : shape (n,)
        Text, whole numbers, truth values or floats; or objects, each of which is one of these.
        None and NaN are missing.

    Returns
    -------
    counts
        By value.
    missing
        How many were None or NaN.

    Raises
    ------
    InvalidObservationError
        If a value is of another kind, or an infinity.
    """
    values = np.asarray(values)
    if values.ndim != 1:
        raise InvalidObservationError(name, "shape (n,)", f"shape {values.shape}")
    if values.dtype.kind in "iub":
        return _count_integers(values), 0
    if values.dtype.kind == "f":
        present = values[~np.isnan(values)]
        different, counts = np.unique(present, return_counts=True)
        found: Mapping[object, int] = dict(zip(different.tolist(), counts.tolist(), strict=True))
        return _checked(name, found), len(values) - len(present)
    try:
        found = Counter(values.tolist())
    except TypeError as error:
        raise InvalidObservationError(name, "text or numbers", str(error)) from error
    # Several NaN objects may be keys, for none equals another.
    missing = sum(count for value, count in found.items() if _is_missing(value))
    return _checked(
        name, {value: count for value, count in found.items() if not _is_missing(value)}
    ), missing


def _count_integers(values: NDArray[np.generic]) -> dict[Category, int]:
    if not len(values):
        return {}
    low, high = int(values.min()), int(values.max())
    if high - low < max(_GRID, len(values)):
        # Shifted in 64 bits: the difference of two small integers may leave their own type.
        shifted = values.astype(np.int64) - low if high < 2**63 else (values - low).astype(np.int64)
        counts = np.bincount(shifted)
        present = np.flatnonzero(counts)
        return dict(zip((present + low).tolist(), counts[present].tolist(), strict=True))
    different, counts = np.unique(values, return_counts=True)
    return dict(zip(different.tolist(), counts.tolist(), strict=True))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _checked(name: str, counts: Mapping[object, int]) -> dict[Category, int]:
    checked: dict[Category, int] = {}
    for value, count in counts.items():
        if not isinstance(value, str | int | float) or value in (np.inf, -np.inf):
            raise InvalidObservationError(name, "text, whole or finite numbers", repr(value))
        checked[value] = checked.get(value, 0) + count
    return checked
