from hypothesis import given
from hypothesis import strategies as st

from serving.batch_cost import BatchCost
from serving.batch_size import AimdSize, Controller, make_size


def settled(fixed: float, per_row: float, objective: float, batches: int = 600) -> list[int]:
    """Sizes that the search takes once it has been at it for a while."""
    size, seen = AimdSize(), []
    for _ in range(batches):
        rows = size.rows_within(1.0, 100_000)
        seen.append(rows)
        size.observe(rows, fixed + per_row * rows, objective)
    return seen[batches // 2 :]


@given(st.floats(0, 0.04), st.floats(0.0002, 0.01))
def test_the_search_stays_within_a_tenth_and_a_step_of_what_the_objective_allows(
    fixed: float, per_row: float
) -> None:
    objective = 0.05
    largest = max(1, int((objective - fixed) / per_row))
    sizes = settled(fixed, per_row, objective)
    assert max(sizes) <= largest + 3
    assert min(sizes) >= min(largest, max(1, int(0.9 * largest) - 3))


def test_a_batch_that_was_not_full_says_nothing_about_a_larger_one() -> None:
    size = AimdSize()
    size.observe(1, 0.001, 0.1)
    before = size.size
    size.observe(1, 0.001, 0.1)
    assert size.size == before


@given(
    st.sampled_from(list(Controller)),
    st.lists(st.tuples(st.integers(1, 600), st.floats(0, 2), st.floats(0.001, 1))),
    st.floats(-1, 10),
    st.integers(1, 512),
)
def test_any_size_is_at_least_one_row_and_at_most_the_limit(
    controller: Controller, seen: list[tuple[int, float, float]], left: float, limit: int
) -> None:
    cost = BatchCost()
    size = make_size(controller, cost)
    for rows, seconds, objective in seen:
        cost.observe(rows, seconds)
        size.observe(rows, seconds, objective)
    assert 1 <= size.rows_within(left, limit) <= limit
