"""The one recursion behind every guaranteed alarm.

A detector turns each observation into K factors ``L_k >= 0``, one a stake, whose expectation
given the past is at most 1 while all is well. The engine does, for every step and tier,

    M_k <- L_k * (M_k + w)        k = 1..K
    S   =  mean of M_k            alarm when S >= 1, then M <- 0

where ``w``, the grant, is the number of false alarms that may be expected from this step. It is
the Shiryaev-Roberts e-detector with grants chosen by the calendar and a restart after alarms.

**Promise.** The expected number of false alarms is at most the head start plus the sum of all
grants, at every time, whatever the dependence between steps. Hence the probability of any is at
most the same number, and the budgets of several streams add, however the streams depend on each
other.

**Proof.** Let F be what was known before a step, N the alarms so far, S the statistic after a
restart. (1) Before a restart ``E[S' | F] = mean of E[L_k | F] (M_k + w) <= S + w``. (2) At an
alarm ``S' >= 1`` is replaced by 0 and N grows by 1, so a restart never makes ``S + N`` grow.
(3) So ``S + N - sum of w`` is a supermartingale that starts at the head start h, and ``E[N] <=
E[S + N] <= h + sum of w``.

**Exactness.** Inside a chunk of rows ``M_t = P_t (M_0 + sum over j <= t of w_j / P_(j-1))``, with
P the running product of the factors. Chunks are counted from the start of the stream and carried
across calls, and every sum runs in one fixed order: any split of the rows into calls gives the
same floats to the bit.

References
----------
J. Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", New England J. Statist. Data Sci. 2(2), 2024.
"""

import math
from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from drift.base import Alarm, Update, checked_count, checked_grants, checked_number
from drift.checkpoint import State
from drift.chunks import THRESHOLD, Walk
from drift.errors import CheckpointError, InvalidSettingError
from drift.onset import Excursions

Factors = NDArray[np.float64]
"""Shape (stakes, rows): what each stake multiplies its wealth by at each row."""

MAX_CHUNK = 128
"""Rows whose product is kept without a logarithm."""

_LOG_RANGE = 280.0 * math.log(10.0)
"""A chunk's products stay within 1e-280 and 1e280, wherever in it they begin: with the largest
grant and the chunk's length on top, that is still a double."""

_ROWS_AT_ONCE = 4096
"""Rows worked on at once: eight stakes of them stay within a second-level cache."""

_Array = NDArray[np.float64]
_Snapshot = tuple[int, int, _Array, _Array, _Array, Excursions]

_MAX_LOG_SUM = 600.0
"""A merged batch may multiply by at most e**600: far past any alarm, and still a double."""


class Engine:
    """Wealth of K stakes in T tiers on one stream.

    Parameters
    ----------
    stakes
        K, the number of factors a row brings; all weigh the same.
    tiers
        T, the number of budgets; all see the same factors.
    head_start
        Statistic to start with, in [0, 1), one or one a tier: that many false alarms may be
        expected once, and what is bad from the first step is found sooner.
    smallest, largest
        Bounds of the factors, both above 0: they fix how many rows go into one product.
    """

    def __init__(
        self,
        *,
        stakes: int,
        tiers: int,
        head_start: float | Sequence[float],
        smallest: float,
        largest: float,
    ) -> None:
        self.stakes = checked_count("stakes", stakes, least=1)
        self.tiers = checked_count("tiers", tiers, least=1)
        heads = head_starts(head_start, self.tiers)
        widest = max(-math.log(smallest), math.log(largest), _LOG_RANGE / MAX_CHUNK)
        if widest > _LOG_RANGE:
            raise InvalidSettingError(
                "stakes", "factors within 1e-280 and 1e280", (smallest, largest)
            )
        self._chunk = int(_LOG_RANGE / widest)
        self.steps = 0
        self._position = 0
        self._product = np.ones(self.stakes)
        self._anchor = np.repeat(heads[:, None], self.stakes, axis=1)
        self._granted = np.zeros((self.tiers, self.stakes))
        self._excursions = Excursions(self.stakes)

    @property
    def wealth(self) -> NDArray[np.float64]:
        """M, shape (tiers, stakes), after the last step and any restart."""
        return self._product * (self._anchor + self._granted)

    def advance(
        self, rows: int, factors: Callable[[int, int], Factors], grants: NDArray[np.float64]
    ) -> Update:
        """Consume rows one after another, exactly as a loop over them would.

        Parameters
        ----------
        rows
            Number of rows n.
        factors
            Gives the factors of rows start to stop, shape (stakes, stop - start).
        grants : shape (n, tiers)
            Expected false alarms allowed at each row.
        """
        grants = checked_grants(grants, rows, self.tiers)
        if rows == 1 and self._position + 1 < self._chunk:
            level = self._step(factors(0, 1)[:, 0], grants[0])
            if level is not None:
                return Update(level, ())
        before = self._snapshot()
        statistic = np.empty((rows, self.tiers))
        alarms: list[Alarm] = []
        try:
            for start in range(0, rows, _ROWS_AT_ONCE):
                stop = min(start + _ROWS_AT_ONCE, rows)
                part = self._advance(factors(start, stop), grants[start:stop], start, alarms)
                statistic[start:stop] = part
        except BaseException:
            self._return_to(before)
            raise
        alarms.sort(key=lambda alarm: (alarm.step, alarm.tier))
        return Update(statistic, tuple(alarms))

    def _step(
        self, factors: NDArray[np.float64], grants: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Consume one row within a chunk, shape (1, tiers), unless it alarms: then nothing.

        What `_advance` does with many rows, to the bit and in a third of the time: most rows of a
        stream that is seldom fed come alone.
        """
        product = self._product * factors
        granted = self._granted + grants[:, None] / self._product
        wealth = (granted + self._anchor) * product
        # Added up one after another, as `mean_over_stakes` does.
        level: NDArray[np.float64] = np.add.accumulate(wealth, axis=1)[:, -1] / self.stakes
        if level.max() >= THRESHOLD:
            return None
        self._product, self._granted = product, granted
        self._position += 1
        self.steps += 1
        self._excursions.step(product, self.steps)
        return level[None, :]

    def _advance(
        self, factors: Factors, grants: NDArray[np.float64], offset: int, alarms: list[Alarm]
    ) -> NDArray[np.float64]:
        """Consume some rows; alarms are appended with steps counted from `offset`."""
        size, position, rows = self._chunk, self._position, factors.shape[1]
        end = position + rows
        chunks = -(-end // size)
        flat = np.ones((self.stakes, chunks * size))
        flat[:, position:end] = factors
        if position:
            flat[:, 0] = self._product
        products = flat.reshape(self.stakes, chunks, size)
        np.multiply.accumulate(products, axis=2, out=products)
        trace = self._excursions.advance(products, self.steps - position, self.steps + rows)
        statistic = np.empty((rows, self.tiers))
        anchors, granted = np.empty_like(self._anchor), np.empty_like(self._granted)
        for tier in range(self.tiers):
            budget = np.zeros(chunks * size)
            budget[position:end] = grants[:, tier]
            carried = self._anchor[tier], self._granted[tier]
            walk = Walk(products, budget.reshape(chunks, size), position, end)
            statistic[:, tier], found, (anchors[tier], granted[tier]) = walk.go(*carried)
            for index, level, stake in found:
                step = index - position
                onset = self.steps + step - trace.began(stake, index // size, index % size)
                alarms.append(Alarm(offset + step, tier, level, THRESHOLD, stake, max(onset, 0)))
        self._anchor, self._granted = anchors, granted
        whole = end == chunks * size
        self._position = 0 if whole else end % size
        self._product = np.ones(self.stakes) if whole else products[:, -1, -1].copy()
        self.steps += rows
        return statistic

    def merge(
        self, rows: int, log_sums: NDArray[np.float64], grants: NDArray[np.float64]
    ) -> Update:
        """Consume a batch that was summed elsewhere, in any order and by any number of workers.

        ``M <- exp(sum of log L) * (M + sum of w)``: the same promise, as long as the size of the
        batch was fixed before its values were known; slower to react than row by row.

        Parameters
        ----------
        rows
            Number of rows in the batch.
        log_sums : shape (stakes,)
            Sum of the logarithms of each stake's factors over the batch.
        grants : shape (1, tiers)
            Expected false alarms allowed to the whole batch.
        """
        grants = checked_grants(grants, 1, self.tiers)
        checked_count("rows", rows, least=1)
        wealth = self.wealth
        self._excursions.close_chunk(self._product, self.steps)
        self.steps += rows
        beginnings = self._excursions.jump(log_sums, self.steps)
        wealth = np.exp(np.minimum(log_sums, _MAX_LOG_SUM)) * (wealth + grants[0][:, None])
        statistic = np.add.reduce(wealth, axis=1) / self.stakes
        alarms = []
        for tier in np.flatnonzero(statistic >= THRESHOLD).tolist():
            stake = int(wealth[tier].argmax())
            onset = max(self.steps - 1 - int(beginnings[stake]), 0)
            alarms.append(Alarm(0, tier, float(statistic[tier]), THRESHOLD, stake, onset))
            wealth[tier] = 0.0
        self._anchor, self._granted = wealth, np.zeros_like(wealth)
        self._position, self._product = 0, np.ones(self.stakes)
        return Update(statistic[None, :], tuple(alarms))

    def forfeit(self) -> None:
        """Give up all wealth: the statistic is 0. What tells an onset goes on."""
        self._anchor, self._granted = np.zeros_like(self._anchor), np.zeros_like(self._granted)

    def _snapshot(self) -> _Snapshot:
        # Arrays are replaced and never written into, so references are enough.
        return (
            self.steps,
            self._position,
            self._product,
            self._anchor,
            self._granted,
            copy(self._excursions),
        )

    def _return_to(self, before: _Snapshot) -> None:
        self.steps, self._position, self._product = before[:3]
        self._anchor, self._granted, self._excursions = before[3:]

    def state(self) -> State:
        """Return the arrays of a checkpoint."""
        seen = self._excursions
        return [
            np.array([self.steps, self._position], dtype=np.int64),
            np.stack([self._product, seen.height, seen.lowest]),
            np.stack([seen.began, seen.lowest_at]).astype(np.int64),
            self._anchor,
            self._granted,
        ]

    def load(self, state: Sequence[NDArray[np.generic]]) -> None:
        """Take over the arrays of a checkpoint."""
        counts, floats, steps, anchor, granted = state
        shape = (self.tiers, self.stakes)
        if anchor.shape != shape or floats.shape != (3, self.stakes):
            raise CheckpointError(f"state has shape {anchor.shape}, expected {shape}")
        self.steps, self._position = (int(count) for count in counts)
        self._product = floats[0].astype(np.float64)
        self._anchor, self._granted = anchor.astype(np.float64), granted.astype(np.float64)
        seen = Excursions(self.stakes)
        seen.height, seen.lowest = floats[1].astype(np.float64), floats[2].astype(np.float64)
        seen.began, seen.lowest_at = steps[0].astype(np.int64), steps[1].astype(np.int64)
        self._excursions = seen


def head_starts(head_start: float | Sequence[float], tiers: int) -> NDArray[np.float64]:
    """One head start a tier, each in [0, 1)."""
    given = list(head_start) if isinstance(head_start, Sequence) else [head_start] * tiers
    if len(given) != tiers:
        raise InvalidSettingError("head_start", f"one number or {tiers}", head_start)
    heads = [checked_number("head_start", h, above=0.0, below=1.0, inclusive=True) for h in given]
    if max(heads) >= THRESHOLD:
        raise InvalidSettingError("head_start", "numbers below 1", head_start)
    return np.array(heads)
