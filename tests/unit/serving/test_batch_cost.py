import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batch_cost import BatchCost


@given(st.floats(0, 0.1), st.floats(0, 0.01), st.lists(st.integers(1, 500), min_size=30))
def test_a_steady_cost_is_learned_whatever_the_sizes(
    fixed: float, per_row: float, sizes: list[int]
) -> None:
    cost = BatchCost()
    for rows in sizes:
        cost.observe(rows, fixed + per_row * rows)
    assert cost.fixed >= -1e-9
    assert cost.per_row >= 0
    # One size alone cannot tell the parts apart, but it does tell their sum.
    mean = cost.mean_rows
    assert cost.fixed + cost.per_row * mean == pytest.approx(
        fixed + per_row * mean, rel=1e-6, abs=1e-9
    )


def test_the_fixed_part_and_the_row_part_are_told_apart() -> None:
    cost = BatchCost()
    for rows in range(1, 100):
        cost.observe(rows, 0.009 + 0.00002 * rows)
    assert cost.fixed == pytest.approx(0.009, rel=1e-3)
    assert cost.per_row == pytest.approx(0.00002, rel=1e-3)


def test_a_model_that_became_slower_is_noticed_within_a_few_hundred_batches() -> None:
    cost = BatchCost()
    for rows in [1, 8, 64] * 100:
        cost.observe(rows, 0.001 + 0.0001 * rows)
    for rows in [1, 8, 64] * 100:
        cost.observe(rows, 0.010 + 0.0001 * rows)
    assert cost.fixed == pytest.approx(0.010, rel=0.05)


@given(st.floats(1e-5, 1), st.integers(1, 1000))
def test_a_batch_fits_its_time_and_one_row_more_would_not(seconds: float, limit: int) -> None:
    cost = BatchCost()
    for rows in range(1, 50):
        cost.observe(rows, 0.001 + 0.0005 * rows)
    rows = cost.rows_within(seconds, limit)
    assert 1 <= rows <= limit
    if cost.seconds(1) < seconds:
        assert cost.seconds(rows) <= seconds * 1.001
        assert rows == limit or cost.seconds(rows + 1) > seconds * 0.999
