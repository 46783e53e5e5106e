"""Laws of the budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.budget import budgets, grants
from monitor.moments import YEAR_US
from monitor.records import Watch
from monitor.settings import Mode, Settings, Tier

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
