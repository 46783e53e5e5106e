"""How long the monitor rests between two turns."""

import pytest

from monitor.loop import GATHERING_S, HARDLY_ANY, IDLE_SHARE, rest_after


@pytest.mark.parametrize("spent", [0.001, 0.02, 0.05])
def test_turns_for_hardly_any_rows_take_a_small_share_of_the_time(spent: float) -> None:
    rest = rest_after(HARDLY_ANY - 1, spent, 10.0)
    assert spent / rest <= IDLE_SHARE
    assert GATHERING_S <= rest <= 10.0


def test_no_rest_is_longer_than_the_pause_between_two_looks() -> None:
    assert rest_after(0, 10.0, 0.5) == 0.5


def test_rows_that_come_in_numbers_are_not_kept_waiting() -> None:
    assert rest_after(HARDLY_ANY, 10.0, 2.0) == GATHERING_S
