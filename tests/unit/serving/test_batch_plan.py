import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.batch import Answer, BatchLimits, Entry, Outcome
from serving.batch_plan import BatchPlan
from serving.batch_size import Controller
from serving.cache import CacheLimits
from serving.shared_answers import SharedAnswers, Sharing

seconds = st.floats(0.0005, 0.05)


def plan(fixed: float, per_row: float, limits: BatchLimits | None = None) -> BatchPlan:
    """One that has seen batches of every size up to the largest."""
    made = BatchPlan(limits or BatchLimits(), Controller.LEARNED)
    for rows in (1, 8, 64, 512, 3, 200):
        made.observe(rows, fixed + per_row * rows, 10.0)
    return made


def entry(arrived: float, deadline: float, *, block: bytes = b"") -> Entry:
    future: asyncio.Future[Answer] = asyncio.Future(loop=asyncio.new_event_loop())
    future.get_loop().close()
    return Entry(block, arrived, deadline, future, background=False)


@given(seconds, seconds, st.floats(0.01, 1), st.floats(0, 0.1), st.integers(0, 300))
def test_what_is_let_in_is_planned_to_be_in_time(
    fixed: float, per_row: float, objective: float, left: float, waiting: int
) -> None:
    made = plan(fixed, per_row)
    head = entry(0.0, objective) if waiting else None
    room = made.has_room(0.0, objective, left=left, ready=1, waiting=waiting, head=head)
    if room:
        assert left + made.cost.seconds(waiting + 1) <= objective
        # Whoever comes when fewer wait is let in as well, with the same row at the head.
        if waiting > 1:
            assert made.has_room(0.0, objective, left=left, ready=1, waiting=waiting - 1, head=head)


def test_no_row_is_let_in_that_would_only_get_a_small_batch() -> None:
    made = plan(0.005, 0.002)
    # The head has waited, so that the next batch takes fifteen rows; a second one would be in time.
    head = entry(-0.045, 0.055)
    let_in = [
        waiting
        for waiting in range(40)
        if made.has_room(0.0, 0.1, left=0.0, ready=1, waiting=waiting, head=head)
    ]
    assert let_in == list(range(len(let_in)))
    assert 13 <= len(let_in) <= 17
    # Where batches are bounded by their limit anyway, a second one costs nobody anything.
    bounded = plan(0.005, 0.002, BatchLimits(rows=5))
    assert bounded.has_room(0.0, 0.1, left=0.0, ready=1, waiting=12, head=entry(0.0, 0.1))


@given(seconds, seconds, st.integers(1, 8), st.integers(1, 2000))
def test_free_replicas_share_what_waits_and_leave_nothing(
    fixed: float, per_row: float, free: int, waiting: int
) -> None:
    share = plan(fixed, per_row).share(free, waiting)
    assert 1 <= share <= BatchLimits().rows
    assert share >= min(-(-waiting // free), BatchLimits().rows)


def test_a_lone_caller_and_a_cheap_model_wait_for_nobody() -> None:
    lone = BatchPlan(BatchLimits(), Controller.LEARNED)
    for _ in range(10):
        lone.observe(1, 0.05, 1.0)
    assert lone.linger(0.0, 1, 2, 10.0) == 0.0
    assert plan(0.0001, 0.0001).linger(0.0, 1, 100, 10.0) == 0.0
    assert 0.0 < plan(0.01, 0.0001).linger(0.0, 1, 100, 10.0) <= 0.0025
    assert plan(0.01, 0.0001).linger(0.0, 100, 100, 10.0) == 0.0


def test_an_equal_row_follows_the_one_on_its_way_until_it_is_forgotten() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()

        def row(deadline: float) -> Entry:
            return Entry(b"same", 0.0, deadline, loop.create_future(), background=False)

        shared = SharedAnswers(CacheLimits(10_000, 60.0))
        first = row(5.0)
        first.waiting = True
        found: list[tuple[Any, Entry]] = [shared.look_up(first, 0.0)]
        shared.asked(first)
        found += [shared.look_up(row(9.0), 0.0), shared.look_up(row(2.0), 0.0)]
        expected = [Sharing.NEW, Sharing.FOLLOWS, Sharing.URGES]
        assert [sharing for sharing, _ in found] == expected
        assert first.deadline == 2.0
        shared.purge()
        # What was asked before the purge is not kept, whenever it is answered.
        shared.keep([first], [Answer(Outcome.ANSWERED, b"1")], 0.0)
        assert shared.look_up(row(9.0), 0.0)[0] is Sharing.NEW

    asyncio.run(run())
