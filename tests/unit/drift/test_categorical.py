"""Categories in lock-step are the recursion of each category alone, looked at where it hits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from drift.checkpoint import pack
from drift.errors import CheckpointError
from drift.means.pool import uniforms
from drift.means.stakes import mean_stakes
from drift.ranks.categorical import CategoricalRanks
from drift.ranks.hits import hits

SHARES = [0.5, 0.3, 0.15, 0.05, 0.0]


def drawn(rng: np.random.Generator, n: int) -> NDArray[np.uint8]:
    """Codes of which the rarest becomes frequent half-way."""
    codes = rng.choice(len(SHARES), n, p=SHARES)
    rises = (np.arange(n) > n // 2) & (rng.random(n) < 0.2)
    return np.where(rises, 4, codes).astype(np.uint8)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 600), before=st.integers(0, 400))
def test_hits_are_the_small_pvalues_of_each_code(seed: int, n: int, before: int) -> None:
    rng = np.random.default_rng(seed)
    codes, draws = drawn(rng, n), rng.random(n)
    counts = rng.multinomial(before, SHARES)
    centres = np.clip(SHARES, 0.01, 0.9)
    expected = set()
    for code, centre in enumerate(centres.tolist()):
        have = codes == code
        share = (counts[code] + np.cumsum(have)) / (before + np.arange(1, n + 1))
        pvalues = np.where(have, share * draws, share + (1.0 - share) * draws)
        expected |= {(code, row) for row in np.flatnonzero(pvalues <= centre).tolist()}
    rows, found = hits(codes, draws, centres, counts, before)
    assert list(zip(found.tolist(), rows.tolist(), strict=True)) == sorted(expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 900), grant=st.sampled_from([1e-6, 1e-3]))
def test_alarms_are_those_of_a_loop_over_the_rows(seed: int, n: int, grant: float) -> None:
    rng = np.random.default_rng(seed)
    codes, grants = drawn(rng, n), rng.uniform(0.0, grant, (n, 1))
    update = CategoricalRanks(SHARES, seed=3).update(codes.astype(np.float64), grants)
    draws = uniforms(3, 0, n)
    expected = []
    for code, share in enumerate(SHARES):
        centre = min(max(share, 1e-3), 0.9)
        stakes = mean_stakes(centre)[::2]
        wealth, pending, count = np.zeros(4), 0.0, 0
        for row in range(n):
            has = bool(codes[row] == code)
            count += has
            f = count / (row + 1)
            hit = (f * draws[row] if has else f + (1.0 - f) * draws[row]) <= centre
            wealth = wealth * (1.0 + stakes * (float(hit) - centre))
            pending += float(grants[row, 0]) / len(SHARES)
            if hit and wealth.mean() >= 1.0:
                expected.append((row, code, float(wealth.mean())))
                wealth = np.zeros(4)
            if row % 64 == 63:
                wealth, pending = wealth + pending, 0.0
    expected.sort()
    assert [(alarm.step, alarm.stake) for alarm in update.alarms] == [at[:2] for at in expected]
    levels = [alarm.statistic for alarm in update.alarms]
    assert_allclose(levels, [level for _, _, level in expected], rtol=1e-9)
    for alarm in update.alarms:
        assert update.statistic[alarm.step, 0] >= alarm.statistic
        assert 0 <= alarm.onset <= alarm.step


def test_the_onset_is_where_the_category_began_to_come() -> None:
    codes = np.tile([0.0, 1.0], 20_000)
    codes[30_000::20] = 2.0
    update = CategoricalRanks([0.5, 0.5, 0.0]).update(codes, np.full((len(codes), 1), 1e-7))
    first = update.alarms[0]
    assert first.stake == 2
    assert first.step - first.onset == pytest.approx(30_000, abs=64)


def test_eighteen_categories_are_kept_in_a_kilobyte() -> None:
    rng = np.random.default_rng(1)
    detector = CategoricalRanks([*[0.06] * 16, 0.04, 0.0])
    codes = rng.integers(0, 17, 200_000).astype(np.float64)
    detector.update(codes, np.full((len(codes), 1), 1e-9))
    assert len(detector.to_bytes()) <= 1_000


def test_a_state_with_an_engine_for_each_category_is_refused_and_changes_nothing() -> None:
    detector = CategoricalRanks(SHARES, seed=3)
    detector.update(np.array([0.0, 1.0, 4.0]), np.full((3, 1), 1e-3))
    before = detector.to_bytes()
    earlier = [np.zeros(480, dtype=np.uint8) for _ in SHARES]
    with pytest.raises(CheckpointError, match="earlier form"):
        detector.restore(pack(detector.name, detector.settings, earlier))
    assert detector.to_bytes() == before
