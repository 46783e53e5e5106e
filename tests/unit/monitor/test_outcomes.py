"""Whether a remedy helped: how often the test errs, and how it takes its steps."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from monitor.feed.columns import ids_from
from monitor.records import Json, Registry, Remedy, Version
from monitor.remedies.outcomes import ALPHA, LONGEST, LONGEST_STEPS, Verdict, begin, verify
from monitor.settings import Mode
from monitor.signals import LOSS, LOSS_DIFFERENCE
from monitor.signals.base import Observations

REGISTRY = Registry({}, {n: Version(n, "price", str(n)) for n in (1, 2)}, {})
NOW = datetime(2026, 11, 2, tzinfo=UTC)


def acted(test: Json, kind: str = "roll_back") -> Remedy:
    """A remedy that brought version 1 back in the place of 2, by revision 3."""
    to, away_from = ("price:2", "price:1") if kind == "promote" else ("price:1", "price:2")
    return Remedy(
        1, 1, 1, 1, kind, Mode.ACT, "acted", None, 2,
        {"to": to, "from": away_from, "test": test}, UUID(int=1), 0, None, NOW, NOW, 3, None, None,
    )  # fmt: skip


def seen(losses: Any, signal: str = LOSS, subject: str = "1", revision: int = 3) -> Any:
    values = np.asarray(losses, np.float64)
    numbers = np.arange(len(values))
    ids = ids_from([UUID(int=1)] * len(values))
    one = Observations(
        numbers, numbers, ids, np.zeros(len(values), np.int64), (subject,), values,
        np.full(len(values), revision),
    )  # fmt: skip
    return {(1, signal): one}


def told(remedy: Remedy, losses: Any, pieces: int = 1, **more: Any) -> Verdict:
    """What the test says in the end."""
    verdict = Verdict(None, {})
    for part in np.array_split(np.asarray(losses), pieces):
        found = verify(remedy, seen(part, **more), REGISTRY)
        if found is not None:
            verdict = found
            remedy = replace(remedy, outcome_detail=verdict.detail)
        if verdict.outcome is not None:
            break
    return verdict


@pytest.mark.statistical
@pytest.mark.parametrize("block", [1, 50])
def test_a_version_as_bad_as_the_one_it_replaced_is_seldom_called_recovered(block: int) -> None:
    rng, runs = np.random.default_rng(20261130), 500
    remedy = acted(begin("roll_back", 0.4, 100, 1.0, block=block))
    wrong = 0
    for _ in range(runs):
        losses = (rng.random(LONGEST + 100) < 0.4).astype(float)
        wrong += told(remedy, losses).outcome == "recovered"
    # At the promised rate, one run of this test in a million fails here.
    assert wrong <= binom.isf(1e-6, runs, ALPHA)


@pytest.mark.statistical
def test_errors_that_come_in_stretches_are_taken_in_long_steps() -> None:
    rng, runs = np.random.default_rng(20261201), 300
    remedy = acted(begin("roll_back", 0.4, 100, 1.0, block=50))
    wrong = 0
    for _ in range(runs):
        losses = np.repeat(rng.random(LONGEST // 10) < 0.4, 10).astype(float)
        wrong += told(remedy, losses).outcome == "recovered"
    assert wrong <= binom.isf(1e-6, runs, ALPHA)


@pytest.mark.parametrize("block", [1, 50])
def test_a_version_that_errs_less_is_recovered_and_what_was_tested_is_said(block: int) -> None:
    losses = (np.random.default_rng(3).random(2000) < 0.05).astype(float)
    verdict = told(acted(begin("roll_back", 0.4, 100, 1.0, block=block)), losses, 7)
    assert verdict.outcome == "recovered"
    assert verdict.detail["n"] % block == 0
    assert "is at least 0.4" in verdict.detail["null"]
    assert "at most 0.05" in verdict.detail["error"]


@pytest.mark.parametrize("block", [1, 50, 160])
def test_one_that_is_not_shown_to_have_helped_is_reported_as_not_recovered(block: int) -> None:
    losses = np.tile([1.0, 0.0], 20_000)
    remedy = acted(begin("roll_back", 0.4, 100, 1.0, block=block))
    longest = max(LONGEST, LONGEST_STEPS * block)
    assert told(remedy, losses[: longest - 1]).outcome is None
    assert told(remedy, losses[:longest]).outcome == "not_recovered"


def test_only_answers_by_the_new_route_count() -> None:
    remedy = acted(begin("roll_back", 0.4, 100, 1.0))
    assert verify(remedy, seen(np.zeros(500), revision=2), REGISTRY) is None
    assert verify(remedy, seen(np.zeros(500), subject="2"), REGISTRY) is None


def test_a_promotion_is_tested_on_the_rows_that_both_answer() -> None:
    remedy = acted(begin("promote", None, 0, 1.0), "promote")
    pairs = {"signal": LOSS_DIFFERENCE, "subject": "2,1"}
    rng = np.random.default_rng(4)
    better = np.where(rng.random(1500) < 0.3, -1.0, 0.0)
    assert told(remedy, better, 5, **pairs).outcome == "recovered"
    assert told(remedy, -better, 5, **pairs).outcome is None


@settings(deadline=None, max_examples=20)
@given(pieces=st.integers(1, 40), block=st.sampled_from([1, 7, 50]), seed=st.integers(0, 50))
def test_the_outcome_does_not_depend_on_how_rows_come_in_turns(
    pieces: int, block: int, seed: int
) -> None:
    losses = (np.random.default_rng(seed).random(600) < 0.25).astype(float)
    remedy = acted(begin("roll_back", 0.4, 100, 1.0, block=block))
    one, other = told(remedy, losses), told(remedy, losses, pieces)
    assert one.outcome == other.outcome
    for name in ("n", "statistic"):
        assert one.detail[name] == pytest.approx(other.detail[name])
