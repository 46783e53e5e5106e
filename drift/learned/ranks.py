"""Have several columns changed, perhaps only together? A score is learned, then put to the test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from drift.base import Update, Values, checked_count
from drift.betting import BettingDetector, plain_head_start
from drift.checkpoint import State
from drift.engine import Factors
from drift.errors import InsufficientDataError, InvalidObservationError
from drift.learned.memory import Memory, after_lesson, empty, with_rows
from drift.learned.score import ALONE, Score
from drift.means.pool import uniforms

SHIFTS: NDArray[np.float64] = np.array([0.15, 0.25, 0.4, 0.6, 0.9, 1.3])
"""Rises of the normal score that are bet on: the score is learned to be higher for what is new."""

LESSON = 128
"""Rows from one lesson to the next, half of which are learned from."""

RECENT = 256
"""Rows learned from that count as recent."""

MOST = 4_096
"""Rows kept of each kind; then half of them, chosen by lot."""

LARGEST = 1e100
"""Largest value taken: beyond it products of four values leave the range of doubles."""

_FURTHEST = 5.0


class LearnedScore(BettingDetector):
    """Watch many columns at once for any change of means, spreads or dependence between two.

    Rows are used in turn: one to learn from, the next to test. Every `LESSON` rows a score is
    learned that tells the recent rows from older ones. Each tested row is then ranked, by the score
    in force, among all tested rows before it. No tested row is ever learned from, so while nothing
    changes the ranks are exactly uniform and independent, however bad the score is and however
    often it changes.

    Parameters
    ----------
    columns
        Numbers in each row: features, scores, or 0/1 flags of categories, each in any unit.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.
    seed
        Whole number that fixes the draws.

    Notes
    -----
    Feed reference rows first, with grants of 0, and a change is looked for from the first live row.
    One correlation of 0 that becomes .5 among ten columns (45 pairs) is found after about 380 rows
    at one false alarm in 1e5 rows. What was new is old after some thousand rows: slow change goes
    unnoticed. About 15 µs a row of ten columns; keeps some thousand rows, 0.7 MB at ten columns.

    References
    ----------
    V. Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection",
    COPA 2021; D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
    """

    name = "learned-score"
    assumption = (
        "The rows are exchangeable: any order of the same rows would have been equally likely."
    )

    def __init__(
        self,
        columns: int,
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        self.columns = checked_count("columns", columns, least=1)
        self._seed = checked_count("seed", seed, least=0)
        self._memory = empty(self.columns)
        self._constant = -np.log(_expectations())
        ends = np.exp(SHIFTS * np.array([-_FURTHEST, _FURTHEST])[:, None] + self._constant)
        super().__init__(
            {
                "columns": self.columns,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
                "seed": self._seed,
            },
            stakes=len(SHIFTS),
            tiers=tiers,
            head_start=head_start,
            smallest=float(ends.min()),
            largest=float(ends.max()),
        )

    @property
    def terms(self) -> list[tuple[tuple[int, ...], float]]:
        """What the score in force looks at: one or two columns, and the weight; largest first.

        At an alarm: what has changed. A pair of the same column is its spread.
        """
        score = self._memory.score
        if score is None:
            return []
        pairs = zip(score.first.tolist(), score.second.tolist(), strict=True)
        named = [(one,) if two == ALONE else (one, two) for one, two in pairs]
        found = zip(named, score.weight.tolist(), strict=True)
        return sorted(found, key=lambda term: -abs(term[1]))

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume rows, shape (n, columns); see `drift.base.Detector.update`."""
        values = self._checked(values)
        ranks, memory = self.pvalues(values)
        update = self._engine.advance(
            len(values), lambda start, stop: self._factors(ranks[start:stop]), grants
        )
        self._memory = memory
        return update

    def pvalues(self, values: Values) -> tuple[Values, Memory]:
        """Return the rank of each row, NaN where there is none, and the memory after them.

        A rank is uniform on [0, 1] while nothing changes, and close to 1 for what resembles the
        recent rows. Rows that are learned from, and those before the first score, have none.
        """
        draws = uniforms(self._seed, self.steps, len(values))
        ranks, memory = np.full(len(values), np.nan), self._memory
        start = 0
        while start < len(values):
            step = self.steps + start
            stop = min(start + LESSON - step % LESSON, len(values))
            # Rows at even steps are tested: which those are depends on the count alone.
            tested = np.arange(start + step % 2, stop, 2)
            learned_from = np.arange(start + (step + 1) % 2, stop, 2)
            rows, scores = values[tested], np.empty(0)
            if memory.score is not None:
                scores = memory.score.of(rows)
                ranks[tested] = _ranks(scores, memory.ranked, draws[tested])
            memory = with_rows(memory, rows, values[learned_from], scores)
            if (self.steps + stop) % LESSON == 0:
                memory = after_lesson(memory, recent=RECENT, most=MOST, seed=self._seed)
            start = stop
        return ranks, memory

    def _checked(self, values: Values) -> Values:
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.columns:
            raise InvalidObservationError(
                "values", f"shape (n, {self.columns})", f"shape {values.shape}"
            )
        if not len(values):
            raise InsufficientDataError("values", 1, 0)
        good = np.abs(values) <= LARGEST
        if not good.all():
            index = int(np.argmin(good.all(axis=1)))
            raise InvalidObservationError(
                "row", f"numbers in [{-LARGEST:g}, {LARGEST:g}]", values[index].tolist(), index
            )
        return values

    def _factors(self, values: Values) -> Factors:
        with np.errstate(divide="ignore"):
            scores = np.clip(ndtri(values), -_FURTHEST, _FURTHEST)
        logs = SHIFTS[:, None] * scores + self._constant[:, None]
        factors: Factors = np.exp(logs, out=logs)
        # A row without a rank bets nothing.
        factors[:, np.isnan(values)] = 1.0
        return factors

    def _state(self) -> State:
        memory = self._memory
        counts = np.array([memory.halvings, memory.score is not None], dtype=np.int64)
        none, nobody = np.empty(0), np.empty(0, dtype=np.int64)
        score = memory.score or Score(none, none, nobody, nobody, none)
        return [
            *self._engine.state(),
            counts,
            memory.pool,
            memory.lessons,
            score.centre,
            score.scale,
            np.stack([score.first, score.second]),
            score.weight,
        ]

    def _load(self, state: Sequence[NDArray[np.generic]]) -> None:
        counts, pool, lessons, centre, scale, terms, weight = state[-7:]
        self._engine.load(state[:-7])
        kept, learned_from = pool.astype(np.float64), lessons.astype(np.float64)
        score, ranked = None, np.empty(0)
        if int(counts[1]):
            first, second = terms.astype(np.int64)
            score = Score(
                centre.astype(np.float64),
                scale.astype(np.float64),
                first,
                second,
                weight.astype(np.float64),
            )
            ranked = np.sort(score.of(kept))
        self._memory = Memory(kept, learned_from, int(counts[0]), score, ranked)


def _ranks(scores: Values, before: Values, draws: Values) -> Values:
    """Rank of each score among those before it: the sorted ones, then its predecessors here."""
    below = np.searchsorted(before, scores, side="left")
    equal = np.searchsorted(before, scores, side="right") - below
    earlier = np.tri(len(scores), k=-1, dtype=np.bool_)
    below = below + ((scores < scores[:, None]) & earlier).sum(axis=1)
    equal = equal + ((scores == scores[:, None]) & earlier).sum(axis=1)
    counts = len(before) + np.arange(len(scores))
    ranks: Values = (below + draws * (equal + 1)) / (counts + 1)
    return ranks


def _expectations() -> Values:
    """Expectation of exp(shift z) for a standard normal z that is cut off at `_FURTHEST`."""
    inside = ndtr(_FURTHEST - SHIFTS) - ndtr(-_FURTHEST - SHIFTS)
    beyond = ndtr(-_FURTHEST) * (np.exp(SHIFTS * _FURTHEST) + np.exp(-SHIFTS * _FURTHEST))
    expectation: Values = np.exp(0.5 * SHIFTS**2) * inside + beyond
    return expectation
