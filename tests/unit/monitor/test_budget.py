"""Laws of the budget."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.moments import YEAR_US
from monitor.records import Watch
from monitor.settings import Mode, Settings, Tier
from monitor.store.ledger import Account
from monitor.views.ledger import ledger_of
from monitor.watches.budget import BudgetChange, budgets, grants, held_since

times = st.lists(st.integers(0, 10 * YEAR_US), min_size=1, max_size=60)


@given(times, st.floats(0.01, 100))
def test_grants_add_up_to_the_budget_times_the_time_in_the_record(
    at: list[int], budget: float
) -> None:
    granted, clock = grants(None, at, range(len(at)), budget)
    assert clock == max(at)
    assert np.isclose(granted.sum(), budget * (max(at) - at[0]) / YEAR_US)
    assert (granted >= 0).all()


@given(times, st.data())
def test_a_split_changes_no_grant(at: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(at)))
    whole, end = grants(None, at, range(len(at)), 1.0)
    first, clock = grants(None, at[:cut], range(cut), 1.0)
    second, last = grants(clock, at[cut:], range(cut, len(at)), 1.0)
    assert np.allclose(np.concatenate((first, second)), whole)
    assert last == end


def test_observations_of_one_moment_share_its_grant() -> None:
    granted, _ = grants(0, [YEAR_US, YEAR_US, 3 * YEAR_US], [0, 0, 1], 1.0)
    assert granted.tolist() == [0.5, 0.5, 2.0]


def watch(number: int, tier: Tier, *, detector: str = "bounded-mean", on: bool = True) -> Watch:
    return Watch(
        number, 1, str(number), "loss", detector, tier, {}, "notify", Mode.OBSERVE, "default", on
    )


def test_a_tiers_budget_is_divided_over_its_enabled_guaranteed_watches() -> None:
    settings = Settings(database_url="")
    made = budgets(
        [
            watch(1, Tier.PAGE),
            watch(2, Tier.PAGE),
            watch(3, Tier.PAGE, on=False),
            watch(4, Tier.PAGE, detector="adwin"),
            watch(5, Tier.ROLLBACK),
        ],
        settings,
    )
    assert made == {1: 0.5, 2: 0.5, 5: 0.05}


tiers = st.sampled_from(list(Tier))
signals = st.sampled_from(["loss", "output", "feature.*", "loss_difference"])


@given(
    st.lists(st.tuples(tiers, signals, st.booleans()), max_size=30),
    st.dictionaries(tiers, st.floats(1e-6, 1000)),
)
def test_an_applications_own_budget_is_divided_and_never_exceeded(
    wishes: list[tuple[Tier, str, bool]], own: dict[Tier, float]
) -> None:
    settings = Settings(database_url="")
    watches = [
        replace(watch(number, tier, on=on), signal=signal)
        for number, (tier, signal, on) in enumerate(wishes)
    ]
    made = budgets(watches, settings, own)
    for tier in Tier:
        mine = [one.id for one in watches if one.tier is tier and one.enabled]
        allowed = own.get(tier, settings.budget(tier))
        assert sum(made[number] for number in mine) <= allowed * (1 + 1e-12)
        assert not mine or np.isclose(sum(made[number] for number in mine), allowed)


def test_the_ledger_counts_each_budget_for_the_time_for_which_it_held() -> None:
    start, year = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=365.25)
    account = Account(
        "1", "loss", "bounded-mean", "page", 1.5, 0.0, 0, start, start + 4 * year, False
    )
    changes = [
        BudgetChange(Tier.PAGE, 3.0, start + year),
        BudgetChange(Tier.INFO, 99.0, start + year),
        BudgetChange(Tier.PAGE, None, start + 2 * year),
        BudgetChange(Tier.PAGE, 9.0, start + 5 * year),
    ]
    told = ledger_of([watch(1, Tier.PAGE)], [account], Settings(database_url=""), changes)
    assert told[Tier.PAGE].whole.budget_per_year == 9.0
    assert told[Tier.PAGE].granted == pytest.approx(1.0 + 3.0 + 2 * 1.0)


def test_a_stretch_is_granted_the_least_that_held_since_it_began() -> None:
    start, day = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    settings = Settings(database_url="")
    changes = [
        BudgetChange(Tier.PAGE, 0.5, start),
        BudgetChange(Tier.PAGE, 4.0, start + 2 * day),
        BudgetChange(Tier.PAGE, None, start + 4 * day),
    ]
    least = [
        held_since(changes, settings, None if after is None else start + after * day)[Tier.PAGE]
        for after in (-1, 1, 3, 5, None)
    ]
    assert least == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert held_since([], settings, start) == {}
