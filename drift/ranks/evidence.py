"""Evidence on many rare 0/1 streams in lock-step, looked at only where one of them hits."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drift.chunks import THRESHOLD, mean_over_stakes

BLOCK = 64
"""Rows of a block: what is granted in one is credited at the start of the next."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stakes:
    """Logarithms of what multiplies a stake's wealth, shape (stakes, streams) each."""

    miss: Floats
    """At a row without a hit."""
    rise: Floats
    """At a hit, in units of a miss."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A stream's statistic reached the threshold."""

    row: int
    tier: int
    stream: int
    statistic: float
    onset: int
    """Rows before it at which the evidence began to grow, to a block."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Wealth of K stakes in T tiers on each of n streams.

    The recursion ``M <- L (M + w)`` with all that a block grants credited at its end. Within a
    block wealth is then ``M0 (hit / miss)^h miss^r`` after r rows with h hits, so that only the h
    are counted as rows go by, and a stream is looked at only where it hits. Later grants and fewer
    looks leave the promise as it is: each stream alarms no more often than was granted to it.
    """

    wealth: Floats
    """M0 at the start of this block, shape (tiers, stakes, streams)."""
    hits: Counts
    """Hits of each stream in this block so far, shape (streams,)."""
    began: Counts
    """Block at whose start the middle stake last had won nothing, shape (streams,)."""
    hits_since: Counts
    """Hits from there to the start of this block, shape (streams,)."""
    granted: Floats
    """What this block granted to each stream so far, shape (tiers,)."""
    peak: Floats
    """Largest statistic since this block began or the last alarm in it, shape (tiers,)."""

    @classmethod
    def start(cls, heads: Floats, stakes: int, streams: int) -> Self:
        """Begin with these head starts, one a tier, for each stream."""
        nothing = np.zeros(streams, dtype=np.int64)
        wealth = np.broadcast_to(heads[:, None, None], (len(heads), stakes, streams)).copy()
        return cls(wealth, nothing, nothing, nothing, np.zeros(len(heads)), np.zeros(len(heads)))

    def advance(
        self, rows: Counts, streams: Counts, grants: Floats, steps: int, stakes: Stakes
    ) -> tuple["Evidence", Floats, list[Crossing]]:
        """Consume some rows.

        Parameters
        ----------
        rows, streams : shape (hits,)
            Who hits where, in order of stream, then of row.
        grants : shape (n, tiers)
            To each stream at each row.
        steps
            Rows before these.

        Returns
        -------
        The evidence after them; after each row the largest statistic of any stream since its block
        began or the last alarm in it, shape (n, tiers); and who crossed the threshold.
        """
        blocks = _Blocks(self, rows, streams, grants=grants, steps=steps, stakes=stakes)
        tiers = [blocks.tier(tier) for tier in range(grants.shape[1])]
        began, hits_since = blocks.began[-1], blocks.hits_since[-1]
        after = Evidence(
            wealth=np.stack([tier.wealth for tier in tiers]),
            hits=blocks.hits[-1],
            began=began,
            hits_since=hits_since,
            granted=np.array([tier.granted for tier in tiers]),
            peak=np.array([tier.peak for tier in tiers]),
        )
        statistic = np.column_stack([tier.statistic for tier in tiers])
        return after, statistic, [crossing for tier in tiers for crossing in tier.found]


@dataclass(frozen=True, slots=True)
class _Tier:
    """What one tier makes of some rows."""

    statistic: Floats
    found: list[Crossing]
    wealth: Floats
    granted: float
    peak: float


@dataclass(frozen=True, slots=True)
class _Path:
    """How one tier's wealth went, before restarts are worked in."""

    starts: Floats
    """At each block's start, shape (blocks, stakes, streams)."""
    credits: Floats
    """Credited at each block's end, shape (blocks,)."""
    levels: Floats
    """Statistic at each hit, shape (hits,)."""
    begins: Floats
    """Statistic at each block's start, shape (blocks, streams)."""


class _Blocks:
    """Some rows laid out in blocks, the last of which may be unfinished or empty."""

    def __init__(
        self,
        before: Evidence,
        rows: Counts,
        streams: Counts,
        *,
        grants: Floats,
        steps: int,
        stakes: Stakes,
    ) -> None:
        self._before, self._grants, self._rows, self._streams = before, grants, rows, streams
        self._offset, self._steps = steps % BLOCK, steps
        self._whole, self._left = divmod(self._offset + len(grants), BLOCK)
        self._place = self._offset + rows
        self._block = self._place // BLOCK
        count = stakes.miss.shape[1]
        group = streams * (self._whole + 1) + self._block
        found = np.bincount(group, minlength=count * (self._whole + 1))
        ordinal = np.arange(1, len(rows) + 1) - (np.cumsum(found) - found)[group]
        ordinal += np.where(self._block == 0, before.hits[streams], 0)
        self.hits = found.reshape(count, -1).T.copy()
        """Hits of each stream in each block, shape (blocks, streams)."""
        self.hits[0] += before.hits
        # What M0 is multiplied by up to each hit, shape (stakes, hits), and by each whole block,
        # shape (blocks, stakes, streams).
        passed = self._place % BLOCK + 1.0
        self._made = np.exp(ordinal * stakes.rise[:, streams] + passed * stakes.miss[:, streams])
        whole = self.hits[:-1, None, :]
        self._factors = np.exp(whole * stakes.rise + BLOCK * stakes.miss)
        self._follow_excursions(stakes)

    def _follow_excursions(self, stakes: Stakes) -> None:
        middle = len(stakes.miss) // 2
        rise, miss = stakes.rise[middle], BLOCK * stakes.miss[middle]
        shape = self.hits.shape
        self.began, self.hits_since = np.empty(shape, np.int64), np.empty(shape, np.int64)
        self.began[0], self.hits_since[0] = self._before.began, self._before.hits_since
        first = self._steps // BLOCK
        for block in range(self._whole):
            began, since = self.began[block], self.hits_since[block] + self.hits[block]
            next_block = first + block + 1
            grown = since * rise + (next_block - began) * miss > 0.0
            self.began[block + 1] = np.where(grown, began, next_block)
            self.hits_since[block + 1] = np.where(grown, since, 0)

    def tier(self, tier: int) -> _Tier:
        """Follow one tier through the rows."""
        credits, pending = self._credits(tier)
        starts = np.empty((self._whole + 1, *self._before.wealth.shape[1:]))
        starts[0] = self._before.wealth[tier]
        for block in range(self._whole):
            np.multiply(starts[block], self._factors[block], out=starts[block + 1])
            starts[block + 1] += credits[block]
            # Wealth that alone makes an alarm is cut off: what follows is done again after it.
            np.minimum(starts[block + 1], THRESHOLD * starts.shape[1], out=starts[block + 1])
        levels = mean_over_stakes(starts[self._block, :, self._streams].T * self._made)
        begins = mean_over_stakes(starts.transpose(1, 0, 2))
        found: list[Crossing] = []
        for stream in np.unique(self._streams[levels >= THRESHOLD]).tolist():
            path = _Path(starts, credits, levels, begins)
            found += self._restart(stream, tier, path)
        found.sort(key=lambda crossing: crossing.row)
        statistic = self._largest(levels, begins.max(axis=1), tier, found)
        ended = bool(found) and found[-1].row == len(self._grants) - 1
        peak = float(statistic[-1]) if self._left and not ended else 0.0
        return _Tier(statistic, found, starts[-1], pending, peak)

    def _credits(self, tier: int) -> tuple[Floats, float]:
        """What each finished block credits at its end, and what the unfinished one will."""
        granted = np.zeros((self._whole + 1) * BLOCK)
        granted[self._offset : self._offset + len(self._grants)] = self._grants[:, tier]
        granted[self._offset] += self._before.granted[tier]
        # Added up one after another, so that no split of the rows changes the last bit.
        sums = np.add.accumulate(granted.reshape(-1, BLOCK), axis=1)[:, -1]
        return sums[:-1], float(sums[-1])

    def _restart(self, stream: int, tier: int, path: "_Path") -> list[Crossing]:
        """Take a stream's alarms one by one, and do again what follows each."""
        starts, levels = path.starts, path.levels
        found: list[Crossing] = []
        start, stop = np.searchsorted(self._streams, [stream, stream + 1]).tolist()
        while True:
            over = levels[start:stop] >= THRESHOLD
            if not over.any():
                return found
            hit = start + int(over.argmax())
            block = int(self._block[hit])
            onset = self._steps + int(self._rows[hit]) - int(self.began[block, stream]) * BLOCK
            found.append(Crossing(int(self._rows[hit]), tier, stream, float(levels[hit]), onset))
            start = hit + 1 + int(np.searchsorted(self._block[hit + 1 : stop], block, "right"))
            levels[hit + 1 : start] = 0.0
            starts[block, :, stream] = 0.0
            for later in range(block, self._whole):
                wealth = starts[later, :, stream] * self._factors[later, :, stream]
                wealth += path.credits[later]
                starts[later + 1, :, stream] = np.minimum(wealth, THRESHOLD * len(wealth))
            path.begins[block + 1 :, stream] = mean_over_stakes(starts[block + 1 :, :, stream].T)
            after = slice(start, stop)
            wealth = starts[self._block[after], :, stream].T
            levels[after] = mean_over_stakes(wealth * self._made[:, after])

    def _largest(self, levels: Floats, begins: Floats, tier: int, found: list[Crossing]) -> Floats:
        """Largest statistic of any stream, anew from each block's start and each alarm."""
        largest = np.zeros((self._whole + 1) * BLOCK)
        largest[::BLOCK] = begins
        if self._offset:
            largest[0] = self._before.peak[tier]
        np.maximum.at(largest, self._place, levels)
        looked = largest.copy()
        by_block = largest.reshape(-1, BLOCK)
        np.maximum.accumulate(by_block, axis=1, out=by_block)
        for crossing in found:
            place = self._offset + crossing.row + 1
            end = -(-place // BLOCK) * BLOCK
            largest[place:end] = np.maximum.accumulate(looked[place:end])
        return largest[self._offset : self._offset + len(self._grants)]
