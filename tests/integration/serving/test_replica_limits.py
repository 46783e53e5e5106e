"""What a replica may use of the machine, and what it may write."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from serving.batching import Outcome
from serving.errors import VersionFailedToStartError
from serving.launchers.base import Limits
from serving.launchers.process import LOG_LIMIT, ProcessLauncher
from serving.replica_supervisor import ReplicaSupervisor
from tests.support.data_plane import python_version, started

GREEDY = """
    hoard = []
    for _ in range(400):
        hoard.append(bytearray(16 * 2**20))
    def answer(rows):
        return [1 for _ in rows]
"""
QUIET = """
    def answer(rows):
        return [1 for _ in rows]
"""
TALKS = """
    import sys, threading
    def talk():
        while True:
            sys.stderr.write("x" * 1000 + "\\n")
    threading.Thread(target=talk, daemon=True).start()
    def answer(rows):
        return [1 for _ in rows]
"""


def supervisor(folder: Path, code: str, limits: Limits) -> ReplicaSupervisor:
    return ReplicaSupervisor(
        python_version(folder, code), ProcessLauncher(folder / "replicas"), features=("a",),
        python=None, on_ready=lambda _: None, on_frame=lambda _: None,
        on_lost=lambda reason, *, gone_for_good: None, limits=limits,
    )  # fmt: skip


def test_a_model_that_wants_more_memory_than_it_may_says_so(tmp_path: Path) -> None:
    async def run() -> VersionFailedToStartError:
        with pytest.raises(VersionFailedToStartError) as caught:
            await supervisor(tmp_path, GREEDY, Limits(memory_mb=512)).start(60)
        return caught.value

    words = asyncio.run(run()).last_words
    assert "MemoryError" in words
    assert words.endswith("(It reached its memory limit of 512 MiB.)")


def test_a_replica_runs_on_the_processors_it_was_given(tmp_path: Path) -> None:
    async def run() -> tuple[int, dict[str, str]]:
        one = supervisor(tmp_path, QUIET, Limits(cpu=1, memory_mb=1024))
        await one.start(60)
        assert one.pid is not None
        variables = psutil.Process(one.pid).environ()
        count = len(os.sched_getaffinity(one.pid))
        await one.stop(timedelta(seconds=2))
        return count, variables

    count, variables = asyncio.run(run())
    assert count == 1
    assert variables["OMP_NUM_THREADS"] == "1"


def test_a_replica_killed_from_outside_is_said_to_have_been(tmp_path: Path) -> None:
    async def run() -> str:
        launcher = ProcessLauncher(tmp_path / "replicas")
        replica = await launcher.start(
            python_version(tmp_path, QUIET), python=None, features=("a",)
        )
        os.kill(replica.pid, 9)
        await replica.stop(timedelta(seconds=5))
        return replica.last_words()

    assert "SIGKILL" in asyncio.run(run())


def test_a_replica_that_prints_for_ever_does_not_fill_the_disk(tmp_path: Path) -> None:
    async def run() -> int:
        async with started(tmp_path, python_version(tmp_path, TALKS), features=("a",)) as queue:
            loop = asyncio.get_running_loop()
            largest, until = 0, time.monotonic() + 4
            while time.monotonic() < until:
                await asyncio.sleep(0.25)
                answer = await queue.submit(bytes(8), loop.time() + 10)
                assert answer.outcome == Outcome.ANSWERED
            for log in (tmp_path / "replicas").glob("*.log"):
                largest = max(largest, log.stat().st_size)
            assert "xxx" in queue.last_words
            return largest

    # Written in four seconds: gigabytes. What stays is what a fifth of a second brings.
    assert asyncio.run(run()) < 300 * LOG_LIMIT
