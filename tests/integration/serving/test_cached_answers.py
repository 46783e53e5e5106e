import asyncio
import struct
from pathlib import Path

import uvloop

from serving.batching import Answer, BatchQueue, Outcome, QueueOptions
from serving.cache import CacheLimits
from serving.inference import FLAG_CACHED
from tests.integration.serving.test_batching import until
from tests.support.data_plane import plane, python_version, started

TWO = struct.Struct("<2d").pack
COUNTS = """
import time
calls = 0
def answer(rows):
    global calls
    time.sleep(.03)
    calls += len(rows)
    return [calls] * len(rows)
"""
FAILS = "def answer(rows):\n    raise ValueError('never')"
CACHE = QueueOptions(cache=CacheLimits(1_000_000, 60.0))
PATH = "/v1/applications/app/predictions"


async def ask(
    queue: BatchQueue, a: float, within: float = 20.0, background: bool = False
) -> Answer:
    deadline = asyncio.get_running_loop().time() + within
    return await queue.submit(TWO(a, 0), deadline, background=background)


def test_equal_rows_on_their_way_are_computed_once(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, COUNTS)
        async with started(tmp_path, of, options=CACHE) as queue:
            answers = await asyncio.gather(*(ask(queue, float(n % 3)) for n in range(30)))
            assert queue.answered == 3
            assert sum(one.cached for one in answers) == 27
            assert queue.cache is not None
            assert (queue.cache.hits, queue.cache.misses) == (27, 3)
            again = await ask(queue, 0.0)
            assert again.cached
            assert queue.answered == 3
            queue.purge_cache()
            assert not (await ask(queue, 0.0)).cached
            assert queue.answered == 4

    uvloop.run(run())


def test_one_who_follows_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, COUNTS)
        async with started(tmp_path, of, options=CACHE) as queue:
            busy = asyncio.create_task(ask(queue, 9.0))
            await asyncio.sleep(0.005)
            hasty = asyncio.create_task(ask(queue, 1.0, within=0.01))
            await asyncio.sleep(0)
            patient = asyncio.create_task(ask(queue, 1.0))
            assert (await hasty).outcome == Outcome.DEADLINE
            assert (await patient).outcome == Outcome.ANSWERED
            await busy
            slow = asyncio.create_task(ask(queue, 2.0))
            await asyncio.sleep(0)
            assert (await ask(queue, 2.0, within=0.01)).outcome == Outcome.DEADLINE
            assert (await slow).outcome == Outcome.ANSWERED
            assert queue.waiting == queue.in_flight == 0

    uvloop.run(run())


def test_a_caller_does_not_wait_behind_its_own_shadow(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, COUNTS)
        async with started(tmp_path, of, options=CACHE) as queue:
            busy = asyncio.create_task(ask(queue, 9.0))
            await asyncio.sleep(0.005)
            order: list[str] = []
            for name, row, background in (("shadow", 1.0, True), ("other", 2.0, True),
                                          ("caller", 2.0, False)):  # fmt: skip
                task: asyncio.Task[Answer] = asyncio.create_task(
                    ask(queue, row, background=background)
                )
                task.set_name(name)
                task.add_done_callback(lambda done: order.append(done.get_name()))
                await asyncio.sleep(0)
            await until(lambda: len(order) == 3)
            await busy
            assert order[-1] == "shadow"

    uvloop.run(run())


def test_a_failed_row_is_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, FAILS)
        async with started(tmp_path, of, options=CACHE) as queue:
            assert (await ask(queue, 1.0)).outcome == Outcome.ROW_FAILED
            assert (await ask(queue, 1.0)).outcome == Outcome.ROW_FAILED
            assert queue.cache is not None
            assert (queue.cache.hits, queue.cache.misses) == (0, 2)

    uvloop.run(run())


def test_a_hit_says_so_in_the_answer_and_in_the_record(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, COUNTS)
        async with (
            started(tmp_path, of, options=CACHE) as queue,
            plane(tmp_path, {"m:1": queue}) as served,
        ):
            told = []
            for _ in range(2):
                answer = await served.client.post(PATH, json={"input": [1, 2]})
                told.append(answer.json()["cached"])
            assert told == [False, True]
            assert [bool(one.flags & FLAG_CACHED) for one in served.records()] == told

    uvloop.run(run())


def test_without_being_asked_to_nothing_is_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, COUNTS)) as queue:
            answers = await asyncio.gather(*(ask(queue, 1.0) for _ in range(5)))
            assert not any(one.cached for one in answers)
            assert queue.answered == 5

    uvloop.run(run())
