"""How long the monitor rests between two turns."""

import pytest

from monitor.loop import (
    GATHERING_S,
    HARDLY_ANY,
    HARDLY_ANY_A_SECOND,
    IDLE_SHARE,
    rest_after,
)


@pytest.mark.parametrize("spent", [0.001, 0.02, 0.05])
def test_turns_for_hardly_any_rows_take_a_small_share_of_the_time(spent: float) -> None:
    rest = rest_after(HARDLY_ANY - 1, spent, 0.1, 10.0)
    assert spent / rest <= IDLE_SHARE
    assert GATHERING_S <= rest <= 10.0


def test_no_rest_is_longer_than_is_allowed() -> None:
    assert rest_after(0, 10.0, 0.1, 0.5) == 0.5


def test_rows_that_come_in_numbers_are_not_kept_waiting() -> None:
    assert rest_after(HARDLY_ANY, 10.0, 0.1, 2.0) == GATHERING_S


def test_what_a_long_rest_gathered_is_no_burst() -> None:
    assert rest_after(HARDLY_ANY_A_SECOND * 6 - 1, 10.0, 6.0, 6.0) == 6.0
    assert rest_after(HARDLY_ANY_A_SECOND * 6, 10.0, 6.0, 6.0) == GATHERING_S
