"""How soon a change is found, against the exact optimum for a change known in advance.

The optimum is the CUSUM that is told both rates and tuned to the same run length, computed on a
grid of its statistic; nothing is faster (G. Moustakides, Ann. Statist. 14(4), 1986, 1379-1387).
Each bound fails by chance in one run of a million even if the true delay lies exactly on it.
"""

import numpy as np
import pytest

from drift.base import Values
from drift.canary.paired import PairedExcess, PairedPromotion
from drift.canary.randomised import RandomisedExcess
from drift.canary.stakes import PAIRED_SHARES
from drift.means.pool import GrowingPool
from drift.means.stakes import mean_stakes
from drift.ranks.numeric import NumericRanks, edges_from
from tests.statistical.rates import SIGMAS, delays, first_alarms

pytestmark = pytest.mark.statistical

OPTIMA = [
    (0.10, 0.15, 491.0, 867.0),
    (0.10, 0.20, 163.0, 266.0),
    (0.10, 0.30, 54.7, 84.6),
    (0.05, 0.10, 312.0, 535.0),
    (0.02, 0.04, 691.0, 1_270.0),
    (0.01, 0.02, 1_222.0, 2_392.0),
]
"""Rate before, rate after, mean delay of the optimum at a run length of 1e5 and of 1e7."""


def mean_delay(
    before: float, after: float, grant: float, head_start: float = 0.0
) -> tuple[float, float]:
    """Mean of 1,000 runs that are bad from the first row, and its standard error."""
    rng = np.random.default_rng(20261102)
    found = delays(
        mean_stakes(before),
        before,
        lambda: (rng.random(1_000) < after).astype(np.float64),
        grant=grant,
        head_start=head_start,
        streams=1_000,
    )
    return float(found.mean()), float(found.std() / np.sqrt(len(found)))


@pytest.mark.parametrize(("before", "after", "at_1e5", "at_1e7"), OPTIMA)
def test_a_known_limit_costs_little_more_than_knowing_the_change(
    before: float, after: float, at_1e5: float, at_1e7: float
) -> None:
    for grant, optimum, times in ((1e-5, at_1e5, 1.40), (1e-7, at_1e7, 1.25)):
        mean, error = mean_delay(before, after, grant)
        assert mean - SIGMAS * error <= times * optimum, f"{mean / optimum:.2f} times at {grant}"


def test_a_head_start_finds_a_release_that_is_bad_at_once() -> None:
    mean, error = mean_delay(0.1, 0.2, 1e-7, head_start=0.01)
    assert mean - SIGMAS * error <= 130.0


@pytest.mark.parametrize(("rate", "optimum"), [(0.15, 429.0), (0.2, 144.0), (0.3, 48.0)])
def test_an_unknown_rate_costs_little_after_a_clean_start(rate: float, optimum: float) -> None:
    clean = 5_000

    def draw(rng: np.random.Generator) -> Values:
        rates = np.where(np.arange(clean + 3_000) < clean, 0.1, rate)
        return (rng.random(len(rates)) < rates).astype(np.float64)

    found = sorted(
        first_alarms(
            lambda seed: GrowingPool(0.1, seed=seed),
            draw,
            streams=200,
            grant=1e-5,
            after=clean,
            seed=1,
        )
    )
    # The median lies below this order statistic but for one run in a million.
    low = len(found) / 2 - SIGMAS * np.sqrt(len(found)) / 2
    assert found[int(low)] <= 1.45 * optimum
    assert np.median(found) <= 1.7 * optimum


@pytest.mark.parametrize(("rate", "most"), [(0.2, 250.0), (0.15, 850.0)])
def test_a_worse_challenger_in_the_shadow_is_found(rate: float, most: float) -> None:
    rng = np.random.default_rng(9)

    def draw() -> Values:
        # Some rows are hard for both models: on six in ten, one draw decides for both.
        challenger = rng.random(1_000)
        champion = np.where(rng.random(1_000) < 0.6, challenger, rng.random(1_000))
        return (challenger < rate).astype(np.float64) - (champion < 0.1)

    found = delays(
        PAIRED_SHARES / 1.01,
        0.01,
        draw,
        grant=0.0,
        head_start=0.01,
        streams=1_000,
    )
    low = len(found) / 2 - SIGMAS * np.sqrt(len(found)) / 2
    assert np.sort(found)[int(low)] <= most


def test_an_equal_challenger_is_promoted_and_a_worse_one_rolled_back() -> None:
    rng = np.random.default_rng(10)
    promoted, rolled_back = 0, 0
    for _ in range(60):
        before = (rng.random((4, 8_000)) < 0.1).astype(np.float64)
        worse = (rng.random(8_000) < 0.2).astype(np.float64)
        none = np.zeros((8_000, 1))
        promoted += bool(PairedPromotion(0.02, 0.05).update(before[0] - before[1], none).alarms)
        rolled_back += bool(PairedExcess(0.01).update(worse - before[2], none).alarms)
    # Both were certain in 400 runs; at a true share of .99, this fails in one run of a million.
    assert promoted >= 53
    assert rolled_back >= 53


def test_an_even_split_finds_a_worse_challenger() -> None:
    def draw(rng: np.random.Generator) -> Values:
        answered = (rng.random(5_000) < 0.5).astype(np.float64)
        losses = (rng.random(5_000) < np.where(answered == 1.0, 0.2, 0.1)).astype(np.float64)
        return np.column_stack([losses, answered, np.full(5_000, 0.5)])

    found = np.sort(
        list(
            first_alarms(
                lambda _: RandomisedExcess(0.01, floor=0.05, head_start=0.01),
                draw,
                streams=100,
                grant=0.0,
                after=0,
                seed=3,
            )
        )
    )
    low = len(found) / 2 - SIGMAS * np.sqrt(len(found)) / 2
    assert found[int(low)] <= 750.0
    assert np.median(found) <= 1_000.0


@pytest.mark.parametrize(
    ("shift", "variance", "most"),
    [(0.25, 1.0, 1.3 * 321.6), (0.5, 1.0, 1.3 * 91.5), (0.0, 1.5, 1.7 * 217.1)],
)
def test_ranks_cost_little_more_than_knowing_distribution_and_change(
    shift: float, variance: float, most: float
) -> None:
    def draw(rng: np.random.Generator) -> Values:
        after = rng.normal(shift, np.sqrt(variance), 2_500)
        return np.concatenate([rng.normal(size=2_000), after])

    edges = edges_from(np.random.default_rng(20).normal(size=5_000))
    # One of twenty features that share a run length of 1e5.
    found = np.sort(
        list(
            first_alarms(
                lambda seed: NumericRanks(edges, seed=seed),
                draw,
                streams=150,
                grant=1 / 2e6,
                after=2_000,
                seed=21,
            )
        )
    )
    low = len(found) / 2 - SIGMAS * np.sqrt(len(found)) / 2
    assert found[int(low)] <= most
    assert np.median(found) <= 1.2 * most
