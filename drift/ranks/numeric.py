"""Has a number's distribution changed? Each value is ranked among all values before it."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from drift.base import Update, Values, checked_count, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.checkpoint import State
from drift.engine import Factors
from drift.errors import InsufficientDataError, InvalidSettingError
from drift.means.pool import uniforms

BINS = 64
"""Bins in which values are ranked; within a bin the draw decides."""

SHIFTS = np.array([-1.0, -0.6, -0.36, -0.22, 0.22, 0.36, 0.6, 1.0])
"""Shifts of the normal score that are bet on, in standard deviations."""

SPREADS = np.array([0.5, 0.7, 1.3, 1.7, 2.5])
"""Variances of the normal score that are bet on, in units of the one before."""

LARGEST = float(np.finfo(np.float64).max)
_FURTHEST = 5.0
"""Normal scores beyond this count as this: one value is no proof, however odd."""

_ROWS_AT_ONCE = 8192
"""Rows ranked at once: their pairs stay within a second-level cache."""


class NumericRanks(BettingDetector):
    """Watch a feature, a score or a latency for a change of place or spread.

    Parameters
    ----------
    edges
        Rising inner edges of the bins, from data that is not watched: see `edges_from`.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.
    seed
        Whole number that fixes the draws within a bin.

    Notes
    -----
    The rate of false alarms does not depend on the distribution, and no reference is taken as true.
    A change of distribution may well be harmless: it is a reason to look, never to roll back. The
    pool is kept after an alarm. About 0.45 µs a value.

    References
    ----------
    D. McDonald, "A CUSUM procedure based on sequential ranks", Naval Res. Logist. 37, 1990,
    627-646; V. Vovk et al., "Retrain or not retrain: conformal test martingales for change-point
    detection", COPA 2021.
    """

    name = "numeric-ranks"
    assumption = (
        "The values are exchangeable: any order of the same values would have been equally likely."
    )

    def __init__(
        self,
        edges: Sequence[float],
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        self._edges = np.array([float(edge) for edge in edges])
        if not (
            1 <= len(self._edges) < BINS
            and np.isfinite(self._edges).all()
            and (np.diff(self._edges) > 0.0).all()
        ):
            raise InvalidSettingError("edges", f"1 to {BINS - 1} rising finite numbers", edges)
        self._seed = checked_count("seed", seed, least=0)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self._linear, self._square, self._constant = tilts()
        bounds = np.array([-_FURTHEST, 0.0, _FURTHEST])
        extremes = self._of_scores(bounds)
        super().__init__(
            {
                "edges": self._edges.tolist(),
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
                "seed": self._seed,
            },
            stakes=len(self._linear),
            tiers=tiers,
            head_start=head_start,
            smallest=float(extremes.min()),
            # A shift's factor is largest at an end, a spread's at an end or at 0.
            largest=float(extremes.max()),
        )

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume values; see `drift.base.Detector.update`."""
        values = self._checked(values)
        pvalues, counts = self.pvalues(values)
        update = self._engine.advance(
            len(values), lambda start, stop: self._factors(pvalues[start:stop]), grants
        )
        self._counts = counts
        return update

    def pvalues(self, values: Values) -> tuple[Values, NDArray[np.int64]]:
        """Return p-values of the next values as the pool grows, and the pool after them."""
        bins = np.searchsorted(self._edges, values, side="right")
        draws = uniforms(self._seed, self.steps, len(values))
        if len(values) == 1:
            # Most rows of a stream that is seldom fed come alone.
            one, counts = int(bins[0]), self._counts.copy()
            rank = int(counts[:one].sum()) + draws * (int(counts[one]) + 1)
            counts[one] += 1
            return rank / (self.steps + 1), counts
        pvalues, counts = np.empty(len(values)), self._counts.copy()
        for start in range(0, len(values), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            below, equal = ranks_before(bins[part], counts)
            before = self.steps + start + np.arange(len(below))
            pvalues[part] = (below + draws[part] * (equal + 1)) / (before + 1)
            counts += np.bincount(bins[part], minlength=len(counts))
        return pvalues, counts

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=-LARGEST, upper=LARGEST)

    def _factors(self, values: Values) -> Factors:
        with np.errstate(divide="ignore"):
            scores = ndtri(values)
        return self._of_scores(np.clip(scores, -_FURTHEST, _FURTHEST))

    def _of_scores(self, scores: Values) -> Factors:
        logs = self._linear[:, None] * scores
        logs += self._square[:, None] * (scores * scores)
        logs += self._constant[:, None]
        factors: Factors = np.exp(logs, out=logs)
        return factors

    def _state(self) -> State:
        return [*self._engine.state(), self._counts]

    def _load(self, state: Sequence[NDArray[np.generic]]) -> None:
        self._engine.load(state[:-1])
        self._counts = state[-1].astype(np.int64)


def edges_from(values: Values, bins: int = BINS) -> list[float]:
    """Inner edges of bins that hold about equally many values of a training profile.

    Parameters
    ----------
    values : shape (n,)
        Values that are not watched themselves, in the feature's unit.

    Raises
    ------
    InsufficientDataError
        If there are fewer than two different values: a constant feature has no ranks.
    """
    values = checked_values(values, lower=-LARGEST, upper=LARGEST)
    # An edge is one of the values, so that another unit or a logarithm moves it with them.
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    edges = edges[edges > values.min()]
    if not len(edges):
        different = np.unique(values)
        if len(different) < 2:
            raise InsufficientDataError("different values", 2, len(different))
        edges = different[1:2]
    return [float(edge) for edge in edges]


def ranks_before(
    bins: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count for each value the earlier ones in lower bins and in its own.

    Parameters
    ----------
    bins : shape (n,)
        Bin of each value, below 256.
    counts : shape (bins,)
        Values in each bin before these.

    Notes
    -----
    Rows go in groups of `_GROUP`. Within a group every pair is compared, one bit a pair, and bits
    are counted; what came before the group is looked up. About 70 ns a value.
    """
    rows, size = len(bins), len(counts)
    groups = -(-rows // _GROUP)
    padded = np.zeros(groups * _GROUP, dtype=np.uint8)
    padded[:rows] = bins
    group = padded.reshape(groups, _GROUP)
    below_now = _earlier(group[:, :, None] > group[:, None, :])[:rows]
    equal_now = _earlier(group[:, :, None] == group[:, None, :])[:rows]
    place = (np.arange(rows) // _GROUP) * size + bins
    seen = np.bincount(place, minlength=groups * size).reshape(groups, size)
    # Values in each bin before each group, and in all lower bins.
    within = np.empty((groups, size), dtype=np.int64)
    within[:1] = counts
    np.add.accumulate(seen[:-1], axis=0, out=within[1:])
    within[1:] += counts
    below = np.zeros((groups, size), dtype=np.int64)
    np.add.accumulate(within[:, :-1], axis=1, out=below[:, 1:])
    return below.reshape(-1)[place] + below_now, within.reshape(-1)[place] + equal_now


_GROUP = 32
"""Rows of which every pair is compared: as many as one word has bits."""
_IS_EARLIER = np.arange(_GROUP)[:, None] > np.arange(_GROUP)


def _earlier(pairs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each row of each group, how many pairs with an earlier row of it hold."""
    pairs &= _IS_EARLIER
    counted: NDArray[np.uint8] = np.bitwise_count(np.packbits(pairs, axis=-1).view(np.uint32))
    return counted.reshape(-1)


@cache
def tilts() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients of log L = linear z + square z² + constant, z a standard normal score.

    Each stake is the likelihood ratio of a shifted, or of a wider or narrower, normal score; the
    constant makes its expectation 1 for scores that are cut off at `_FURTHEST`.
    """
    spread = np.concatenate([np.zeros(len(SHIFTS)), 0.5 * (1.0 - 1.0 / SPREADS)])
    shift = np.concatenate([SHIFTS, np.zeros(len(SPREADS))])
    constant = np.concatenate([-0.5 * SHIFTS**2, -0.5 * np.log(SPREADS)])
    scale = np.concatenate([np.ones(len(SHIFTS)), np.sqrt(SPREADS)])
    inside = ndtr((_FURTHEST - shift) / scale) - ndtr((-_FURTHEST - shift) / scale)
    ends = np.array([-_FURTHEST, _FURTHEST])[:, None]
    beyond = ndtr(-_FURTHEST) * np.exp(shift * ends + spread * ends**2 + constant).sum(axis=0)
    return shift, spread, constant - np.log(inside + beyond)


def meaning(stake: int) -> str:
    """What the leading stake of an alarm says about the change."""
    if stake < len(SHIFTS):
        return "values rose" if SHIFTS[stake] > 0.0 else "values fell"
    return "values spread out" if SPREADS[stake - len(SHIFTS)] > 1.0 else "values drew together"
