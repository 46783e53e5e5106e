"""How often chance refuses a rollback watch whose labels are as they should be."""

import numpy as np
import pytest

from drift.timing import ALPHA
from monitor.watches.timing_check import FIRST, Timing
from tests.statistical.rates import most_alarmed

pytestmark = pytest.mark.statistical

LOOKS = 6
"""Up to 6,400 labels, one a minute: of more than four days, so that the last asks for hours too."""
STREAMS = 300
MINUTE_US = 60_000_000


def refused(seed: int, *, late_if_right: float) -> bool:
    """Whether any look refuses a watch of answers of which one in ten is wrong."""
    rng = np.random.default_rng(seed)
    timing, made = Timing(), np.int64(0)
    for _ in range(LOOKS):
        count = timing.room
        times = made + MINUTE_US * np.arange(1, count + 1)
        made = times[-1]
        losses = (rng.random(count) < 0.1).astype(np.float64)
        delays = rng.exponential(600.0, count) + late_if_right * (1 - losses)
        timing.add(losses, times + (1e6 * delays).astype(np.int64), times)
        if timing.look(int(made), limit=0.11, block=1) is not None:
            return True
    assert timing.seen == FIRST * 2 ** (LOOKS - 1)
    return False


def test_a_look_refuses_by_chance_as_seldom_as_it_says() -> None:
    found = sum(refused(seed, late_if_right=0.0) for seed in range(STREAMS))
    # Each look asks for delays, and the last for hours too.
    assert found <= most_alarmed(STREAMS, (LOOKS + 1) * ALPHA)


def test_delays_that_tell_the_loss_are_found() -> None:
    assert all(refused(seed, late_if_right=600.0) for seed in range(20))
