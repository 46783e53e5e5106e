"""Rows that are kept: to learn the score from, and to rank new rows among."""

from dataclasses import dataclass

import numpy as np

from drift.base import Values
from drift.learned.score import Score, learned


@dataclass(frozen=True, slots=True)
class Memory:
    """Kept rows and the score in force; replaced as a whole, never written into."""

    pool: Values
    """Shape (n, columns): rows that were ranked, or waited for a score; new ones are ranked among
    them."""
    lessons: Values
    """Shape (m, columns): rows that were learned from; none is ever ranked."""
    halvings: int
    """How often one of the two was thinned."""
    score: Score | None
    """Learned from `lessons` at the last lesson; None before the first."""
    ranked: Values
    """Shape (n,): scores of the pool, sorted; empty while there is no score."""


def empty(columns: int) -> Memory:
    """Return a memory of nothing."""
    none = np.empty((0, columns))
    return Memory(none, none, 0, None, np.empty(0))


def with_rows(memory: Memory, tested: Values, lessons: Values, scores: Values) -> Memory:
    """Keep new rows; `scores` are those of the tested ones, if there is a score."""
    return Memory(
        np.concatenate([memory.pool, tested]),
        np.concatenate([memory.lessons, lessons]),
        memory.halvings,
        memory.score,
        np.sort(np.concatenate([memory.ranked, scores])),
    )


def after_lesson(memory: Memory, *, recent: int, most: int, seed: int) -> Memory:
    """Thin what has grown too large, and learn the score anew.

    Which rows of the pool stay is decided by lot. The ranks so far say nothing about the pool as a
    set, and a lot does not ask for order or value: so the rows that stay and those to come are
    exchangeable given all ranks so far, and the next ranks are as good as the first.
    """
    pool, halvings = _halved(memory.pool, most, seed, memory.halvings)
    lessons = memory.lessons
    older, newest = lessons[:-recent], lessons[-recent:]
    older, halvings = _halved(older, most, seed, halvings)
    score = learned(older, newest) if len(older) >= recent else None
    ranked = np.empty(0) if score is None else np.sort(score.of(pool))
    return Memory(pool, np.concatenate([older, newest]), halvings, score, ranked)


def _halved(rows: Values, most: int, seed: int, halvings: int) -> tuple[Values, int]:
    if len(rows) < most:
        return rows, halvings
    kept = np.random.default_rng([seed, halvings]).permutation(len(rows))[: most // 2]
    return rows[np.sort(kept)], halvings + 1
