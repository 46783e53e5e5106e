import asyncio
import os
import signal
import struct
from pathlib import Path

import pytest
import uvloop

from serving.batching import Answer, BatchQueue, Outcome, State
from serving.errors import VersionFailedToStartError
from tests.integration.serving.test_batching import until
from tests.support.data_plane import python_version, started

TWO = struct.Struct("<2d").pack
SLOW = """
import os, time
def answer(rows):
    time.sleep(.02)
    return [os.getpid()] * len(rows)
"""
KILLED = """
import os
def answer(rows):
    if (rows[:, 0] == 3).any():
        os._exit(9)
    return rows[:, 0]
"""


async def ask(queue: BatchQueue, a: float, within: float = 40.0) -> Answer:
    return await queue.submit(TWO(a, 0), asyncio.get_running_loop().time() + within)


def test_batches_go_to_whichever_replica_is_free(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, SLOW), count=2) as queue:
            assert queue.ready == 2
            first = [asyncio.create_task(ask(queue, 1.0))]
            await asyncio.sleep(0.005)
            first.append(asyncio.create_task(ask(queue, 2.0)))
            answers = await asyncio.gather(*first)
            assert {int(one.output) for one in answers} == set(queue.pids)

    uvloop.run(run())


def test_when_one_of_two_dies_its_rows_are_answered_by_the_other_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, SLOW), count=2) as queue:
            rows = [asyncio.create_task(ask(queue, float(n))) for n in range(8)]
            await asyncio.sleep(0.01)
            dead, left = queue.pids
            os.kill(dead, signal.SIGKILL)
            answers = await asyncio.gather(*rows)
            assert {one.outcome for one in answers} == {Outcome.ANSWERED}
            # None waited for a replica that was started anew.
            assert {int(one.output) for one in answers} <= {dead, left}
            assert queue.state == State.READY

    uvloop.run(run())


def test_a_row_that_ends_replicas_is_found_once_and_refused_from_then_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, KILLED), count=2) as queue:
            asked = [asyncio.create_task(ask(queue, float(n))) for n in range(6)]
            await asyncio.wait(asked)
            for number, task in enumerate(asked):
                expected = Outcome.ROW_FAILED if number == 3 else Outcome.ANSWERED
                assert task.result().outcome == expected
            assert "row_kills_replica" in asked[3].result().error
            # It is known now, and costs no replica any more.
            restarts = queue.restarts
            assert (await ask(queue, 3.0)).outcome == Outcome.ROW_FAILED
            assert queue.restarts == restarts

    uvloop.run(run())


def test_a_deadly_row_whose_caller_does_not_wait_is_found_when_it_comes_again(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, KILLED)) as queue:
            outcomes = []
            for _ in range(6):
                outcomes.append((await ask(queue, 3.0, within=0.1)).outcome)
                await until(lambda: queue.state == State.READY)
            assert outcomes[-1] == Outcome.ROW_FAILED
            assert queue.restarts <= 3

    uvloop.run(run())


def test_replicas_are_added_and_taken_away_while_rows_are_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, SLOW)) as queue:
            answers: list[Answer] = []
            done = False

            async def client() -> None:
                while not done:
                    answers.append(await ask(queue, 1.0))

            clients = [asyncio.create_task(client()) for _ in range(4)]
            await queue.scale(3)
            assert queue.ready == 3
            three = set(queue.pids)
            await until(lambda: three <= {int(one.output) for one in answers})
            await queue.scale(1)
            assert len(queue.pids) == queue.ready == 1
            before = queue.pid
            await queue.scale(1, memory_mb=2048)
            assert queue.ready == 1
            assert queue.pid != before
            done = True
            await asyncio.gather(*clients)
            assert {one.outcome for one in answers} == {Outcome.ANSWERED}
            for pid in three:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    uvloop.run(run())


def test_a_replica_that_does_not_come_up_leaves_the_others_answering(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, "def answer(rows):\n    return rows[:, 0]")
        async with started(tmp_path, of) as queue:
            of.artefact.write_text("raise RuntimeError('no')")
            with pytest.raises(VersionFailedToStartError):
                await queue.scale(2)
            assert queue.ready == 1
            assert (await ask(queue, 1.0)).output == b"1.0"

    uvloop.run(run())
