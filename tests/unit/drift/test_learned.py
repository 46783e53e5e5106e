"""The learned score: it may be any, and the ranks stay fair; it finds what single columns hide."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import stats

from drift.base import Values
from drift.errors import InvalidObservationError, InvalidSettingError
from drift.learned.memory import after_lesson, empty, with_rows
from drift.learned.ranks import LESSON, MOST, RECENT, LearnedScore
from drift.learned.score import ALONE, learned

FIRST_SCORE = 4 * RECENT
"""Rows before the first score: half are learned from, and as many older ones as recent ones."""


def pair(rng: np.random.Generator, n: int, correlation: float) -> Values:
    """Rows of four normal columns, the first two of which are correlated."""
    rows = rng.standard_normal((n, 4))
    rows[:, 1] = correlation * rows[:, 0] + np.sqrt(1.0 - correlation**2) * rows[:, 1]
    return rows


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 9_499), max_size=6))
def test_calls_and_restarts_change_no_float_even_while_rows_are_thinned(
    seed: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.round(pair(rng, 9_500, 0.3), 1)
    grants = rng.uniform(0.0, 1e-3, (len(rows), 1))
    whole = LearnedScore(4, seed=3)
    expected = whole.update(rows, grants)
    detector, statistics = LearnedScore(4, seed=3), []
    for start, stop in pairwise(sorted({0, *cuts, len(rows)})):
        restored = LearnedScore(4, seed=3)
        restored.restore(detector.to_bytes())
        detector = restored
        statistics.append(detector.update(rows[start:stop], grants[start:stop]).statistic)
    assert_array_equal(np.concatenate(statistics), expected.statistic)
    assert detector.to_bytes() == whole.to_bytes()


def test_a_call_for_each_row_gives_the_same_floats() -> None:
    rng = np.random.default_rng(1)
    rows, grants = pair(rng, FIRST_SCORE + 300, 0.0), np.full((FIRST_SCORE + 300, 1), 1e-3)
    expected = LearnedScore(4).update(rows, grants).statistic
    detector = LearnedScore(4)
    for row in range(len(rows)):
        found = detector.update(rows[row : row + 1], grants[row : row + 1]).statistic
        assert_array_equal(found[0], expected[row])


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_uniform_and_independent_while_nothing_changes(ties: bool) -> None:
    rng = np.random.default_rng(6)
    rows = rng.standard_t(2.0, (30_000, 3))
    ranks, _ = LearnedScore(3, seed=1).pvalues(np.round(rows) if ties else rows)
    assert_array_equal(np.isnan(ranks[FIRST_SCORE:]), np.arange(len(ranks) - FIRST_SCORE) % 2 == 1)
    ranks = ranks[~np.isnan(ranks)]
    assert len(ranks) == (30_000 - FIRST_SCORE) // 2
    # Each fails by chance in one run of ten thousand; the seed is fixed.
    assert stats.kstest(ranks, "uniform").pvalue > 1e-4
    assert stats.spearmanr(ranks[:-1], ranks[1:]).pvalue > 1e-4
    half = len(ranks) // 2
    assert stats.ks_2samp(ranks[:half], ranks[half:]).pvalue > 1e-4


def test_each_rank_is_that_among_all_tested_rows_before() -> None:
    rng = np.random.default_rng(7)
    rows = np.round(pair(rng, 2_000, 0.0), 1)
    detector = LearnedScore(4, seed=2)
    detector.update(rows[: FIRST_SCORE + 60], np.zeros((FIRST_SCORE + 60, 1)))
    ranks, memory = detector.pvalues(rows[FIRST_SCORE + 60 : FIRST_SCORE + 100])
    assert memory.score is not None
    tested = rows[: FIRST_SCORE + 100 : 2]
    scores = memory.score.of(tested)
    for place, rank in zip(range((FIRST_SCORE + 60) // 2, len(tested)), ranks[::2], strict=True):
        before = scores[:place]
        below, upto = (before < scores[place]).sum(), (before <= scores[place]).sum()
        assert below / (place + 1) <= rank <= (upto + 1) / (place + 1)


def test_no_tested_row_is_ever_learned_from() -> None:
    rng = np.random.default_rng(8)
    rows = pair(rng, FIRST_SCORE + 512, 0.0)
    other = rows.copy()
    other[::2] = rng.permutation(rows[::2])
    first, second = LearnedScore(4), LearnedScore(4)
    none = np.zeros((len(rows), 1))
    first.update(rows, none)
    second.update(other, none)
    assert first.terms == second.terms != []


def test_a_changed_dependence_between_two_of_ten_columns_is_found_and_named() -> None:
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((6_000, 10))
        after = rows[4_000:]
        after[:, 7] = 0.5 * after[:, 3] + np.sqrt(0.75) * after[:, 7]
        detector = LearnedScore(10, seed=seed)
        update = detector.update(rows[:4_000], np.full((4_000, 1), 1e-5))
        if update.alarms:
            continue
        for start in range(4_000, 6_000, 100):
            grants = np.full((100, 1), 1e-5)
            update = detector.update(rows[start : start + 100], grants)
            if update.alarms:
                found.append(start + update.alarms[0].step - 4_000)
                assert detector.terms[0][0] == (3, 7)
                break
    assert len(found) >= 9
    # The prototype of the design took 880 rows.
    assert np.median(found) <= 600


def test_a_shift_and_a_spread_of_one_column_are_found() -> None:
    for change in ("shift", "spread"):
        rng = np.random.default_rng(9)
        rows = rng.standard_normal((6_000, 6))
        rows[4_000:, 2] = rows[4_000:, 2] + 0.7 if change == "shift" else 1.6 * rows[4_000:, 2]
        detector = LearnedScore(6)
        alarms = detector.update(rows[:5_000], np.full((5_000, 1), 1e-5)).alarms
        assert [alarm.step >= 4_000 for alarm in alarms] == [True] * max(len(alarms), 1)
        columns, _ = detector.terms[0]
        assert columns == ((2,) if change == "shift" else (2, 2))


def test_a_score_is_higher_for_what_is_new_and_does_not_ask_for_the_unit() -> None:
    rng = np.random.default_rng(10)
    older, recent = pair(rng, 1_000, 0.0), pair(rng, 256, 0.8)
    score = learned(older, recent)
    assert score.of(pair(rng, 2_000, 0.8)).mean() > score.of(pair(rng, 2_000, 0.0)).mean()
    unit, offset = np.array([1024.0, 1.0, 0.25, 4.0]), 0.0
    rescaled = learned(older * unit + offset, recent * unit + offset)
    assert_array_equal(rescaled.of(recent * unit + offset), score.of(recent))


def test_constant_columns_flags_and_rare_flags_have_a_finite_score() -> None:
    older = np.column_stack([np.full(500, 7.0), np.arange(500) % 2, np.arange(500) % 100 == 0])
    recent = older[:256].astype(np.float64)
    recent[:, 0] = 8.0
    score = learned(older.astype(np.float64), recent)
    assert np.isfinite(score.of(recent)).all()
    assert (score.first[np.abs(score.weight).argmax()], ALONE) == (0, ALONE)
    same = learned(older.astype(np.float64), older[:256].astype(np.float64))
    assert np.isfinite(same.of(recent)).all()


def test_memory_stays_within_its_bound() -> None:
    memory = empty(1)
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = rng.standard_normal((LESSON // 2, 1))
        scores = np.empty(0) if memory.score is None else memory.score.of(rows)
        memory = with_rows(memory, rows, rows, scores)
        memory = after_lesson(memory, recent=RECENT, most=MOST, seed=0)
        assert len(memory.pool) <= MOST
        assert len(memory.lessons) <= MOST + RECENT
        assert memory.score is None or len(memory.ranked) == len(memory.pool)
    assert memory.halvings > 0


def test_rows_of_another_width_and_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidObservationError, match=r"expected shape \(n, 3\)"):
        LearnedScore(3).update(np.zeros((4, 2)), np.zeros((4, 1)))
    with pytest.raises(InvalidObservationError, match="row at index 1"):
        LearnedScore(1).update(np.array([[0.0], [1e101]]), np.zeros((2, 1)))
    with pytest.raises(InvalidSettingError, match="columns"):
        LearnedScore(0)
