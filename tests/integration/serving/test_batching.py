import asyncio
import os
import signal
import struct
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

from serving.batching import Answer, BatchLimits, BatchQueue, Outcome, State
from serving.errors import VersionFailedToStartError
from serving.launchers.process import ProcessLauncher
from serving.records import Version
from tests.support.data_plane import (
    START_WITHIN,
    python_version,
    sklearn_version,
    started,
    version,
)

DOUBLES = """
def answer(rows):
    return rows[:, 0] * 2
"""
TWO = struct.Struct("<2d").pack


async def ask(queue: BatchQueue, a: float, b: float = 0.0, within: float = 20.0) -> Answer:
    return await queue.submit(TWO(a, b), asyncio.get_running_loop().time() + within)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that in half a minute")


async def failure(folder: Path, of: Version) -> VersionFailedToStartError:
    queue = BatchQueue(of, ProcessLauncher(folder / "replicas"), features=("a", "b"))
    with pytest.raises(VersionFailedToStartError) as caught:
        await queue.start(timedelta(seconds=20))
    assert queue.state == State.FAILED
    assert queue.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(queue.pid, 0)
    return caught.value


def test_an_sklearn_classifier_answers_its_class_with_probabilities(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, sklearn_version(tmp_path)) as queue:
            assert queue.hello is not None
            assert queue.hello.classes == (0, 1)
            assert queue.hello.features == 2
            answer = await ask(queue, 3.0, -3.0)
            assert (answer.outcome, answer.output) == (Outcome.ANSWERED, b"1")
            assert answer.scores is not None
            no, yes = struct.unpack("<2d", answer.scores)
            assert yes > 0.9
            assert no + yes == pytest.approx(1)

    uvloop.run(run())


def test_each_caller_of_a_batch_gets_the_answer_to_its_own_row(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, DOUBLES)) as queue:
            answers = await asyncio.gather(*(ask(queue, float(n)) for n in range(3000)))
            assert [float(answer.output) for answer in answers] == [2.0 * n for n in range(3000)]
            # Far fewer calls than rows: batches were formed.
            assert queue.cost.observed < 300

    uvloop.run(run())


def test_outputs_may_be_any_json(tmp_path: Path) -> None:
    code = """
    def answer(rows):
        return [{"label": "a" if row[0] > 0 else None, "n": [1, True]} for row in rows]
    """

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            answer = await ask(queue, 1.0)
            assert answer.output == b'{"label":"a","n":[1,true]}'

    uvloop.run(run())


def test_a_callable_may_take_rows_by_name_and_give_scores(tmp_path: Path) -> None:
    code = """
    class answer:
        rows = "dicts"
        def __call__(self, rows):
            return [row["b"] for row in rows], [[0.25, 0.75]] * len(rows)
    """

    async def run() -> None:
        async with started(
            tmp_path, python_version(tmp_path, code), features=("a", "b"), encoding="json"
        ) as queue:
            deadline = asyncio.get_running_loop().time() + 20
            answer = await queue.submit(b'["x","\xc3\xa9"]', deadline)
            assert answer.output.decode() == '"\\u00e9"'
            assert answer.scores == struct.pack("<2d", 0.25, 0.75)

    uvloop.run(run())


def test_a_row_that_raises_gets_its_own_error_and_the_others_their_answers(tmp_path: Path) -> None:
    code = """
    def answer(rows):
        if (rows[:, 0] == 13).any():
            raise ValueError("thirteen")
        return rows[:, 0]
    """

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            answers = await asyncio.gather(*(ask(queue, float(n)) for n in range(20)))
            for number, answer in enumerate(answers):
                if number == 13:
                    assert answer.outcome == Outcome.ROW_FAILED
                    assert answer.error == "ValueError: thirteen"
                else:
                    assert float(answer.output) == number

    uvloop.run(run())


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ("[0.0, 0.0]", "2 outputs for 1 rows"),
        ("rows[:, 0] * float('nan')", "NaN"),
        ("[object()] * len(rows)", "object, which JSON does not have"),
        ("(rows[:, 0], rows[:, 0])", "scores of shape"),
        ("[eval('[' * 65 + ']' * 65)]", "more than 64 arrays and objects in each other"),
        ("[__import__('functools').reduce(lambda a, _: [a], range(900))]", "more than 64 arrays"),
        ("[__import__('functools').reduce(lambda a, _: [a], range(9000))]", "RecursionError"),
    ],
)
def test_an_answer_that_cannot_be_one_is_an_error_of_the_row(
    tmp_path: Path, result: str, error: str
) -> None:
    code = f"def answer(rows):\n    return {result} if rows[0, 0] > 0 else rows[:, 0]"

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            answer = await ask(queue, 2.0)
            assert answer.outcome == Outcome.ROW_FAILED
            assert error in answer.error
            assert (await ask(queue, -1.0)).outcome == Outcome.ANSWERED

    uvloop.run(run())


def test_rows_of_another_width_than_the_model_takes_are_refused_by_the_replica(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with started(tmp_path, sklearn_version(tmp_path)) as queue:
            deadline = asyncio.get_running_loop().time() + 20
            answer = await queue.submit(struct.pack("<3d", 1, 2, 3), deadline)
            assert answer.outcome == Outcome.ROW_FAILED
            assert "2 features, got 3" in answer.error

    uvloop.run(run())


def test_an_artefact_that_does_not_load_ends_the_start_with_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "bad.joblib"
    path.write_bytes(b"no model")
    error = asyncio.run(failure(tmp_path, version(path, framework="sklearn")))
    assert "Traceback" in error.last_words
    assert "ended before it was ready" in error.detail


def test_code_that_raises_at_import_ends_the_start_with_its_last_words(tmp_path: Path) -> None:
    of = python_version(tmp_path, 'raise RuntimeError("no licence")')
    error = asyncio.run(failure(tmp_path, of))
    assert error.last_words.endswith("RuntimeError: no licence")


def test_a_version_that_hangs_at_start_fails_within_its_time(tmp_path: Path) -> None:
    of = python_version(tmp_path, "import time\nprint('loading')\ntime.sleep(600)")

    async def run() -> None:
        queue = BatchQueue(of, ProcessLauncher(tmp_path / "replicas"))
        with pytest.raises(VersionFailedToStartError, match="not ready within 2 s") as caught:
            await queue.start(timedelta(seconds=2))
        assert caught.value.last_words == "loading"

    asyncio.run(run())


def test_a_version_that_failed_to_start_may_be_started_again(tmp_path: Path) -> None:
    of = python_version(tmp_path, 'raise RuntimeError("not yet")')

    async def run() -> None:
        queue = BatchQueue(of, ProcessLauncher(tmp_path / "replicas"))
        with pytest.raises(VersionFailedToStartError):
            await queue.start(START_WITHIN)
        assert (await ask(queue, 1.0)).outcome == Outcome.NO_REPLICA
        of.artefact.write_text(DOUBLES)
        await queue.start(START_WITHIN)
        assert (await ask(queue, 1.0)).output == b"2.0"
        await queue.stop()

    asyncio.run(run())


def test_a_slow_model_is_told_apart_at_the_deadline(tmp_path: Path) -> None:
    let_go = tmp_path / "let go"
    code = (
        "import pathlib, time\ndef answer(rows):\n"
        f"    while not pathlib.Path({str(let_go)!r}).exists():\n        time.sleep(.005)\n"
        "    return rows[:, 0]"
    )

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            patient = asyncio.create_task(ask(queue, 1.0))
            begun = time.monotonic()
            answers = await asyncio.gather(*(ask(queue, 1.0, within=0.1) for _ in range(5)))
            assert {answer.outcome for answer in answers} == {Outcome.DEADLINE}
            assert time.monotonic() - begun > 0.09
            assert not patient.done()
            let_go.touch()
            assert (await patient).outcome == Outcome.ANSWERED

    uvloop.run(run())


def test_rows_beyond_capacity_are_turned_away_at_the_door(tmp_path: Path) -> None:
    code = "import time\ndef answer(rows):\n    time.sleep(.02 * len(rows))\n    return rows[:, 0]"

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            for n in [1, 2, 3, 1, 2, 3]:
                await asyncio.gather(*(ask(queue, 1.0) for _ in range(n)))
            first = asyncio.create_task(ask(queue, 1.0, within=0.2))
            await asyncio.sleep(0.005)
            asked = [ask(queue, 1.0, within=0.2) for _ in range(100)]
            waiting = [asyncio.ensure_future(one) for one in asked]
            done, _ = await asyncio.wait(waiting, timeout=0.01)
            assert len(done) > 80
            assert {task.result().outcome for task in done} == {Outcome.OVERLOADED}
            rest = await asyncio.gather(first, *(set(waiting) - done))
            answered = sum(answer.outcome == Outcome.ANSWERED for answer in rest)
            # What was let in has its answer, but for the noise of a shared machine.
            assert answered >= len(rest) // 2

    uvloop.run(run())


def test_killing_a_replica_under_load_fails_no_request_that_can_wait(tmp_path: Path) -> None:
    async def run() -> None:
        async with started(tmp_path, sklearn_version(tmp_path)) as queue:
            answers: list[Answer] = []
            killed = 0

            async def client() -> None:
                while killed < 2 or queue.state != State.READY:
                    answers.append(await ask(queue, 1.0))

            clients = [asyncio.create_task(client()) for _ in range(16)]
            for _ in range(2):
                await asyncio.sleep(0.2)
                before = queue.pid
                assert before is not None
                os.kill(before, signal.SIGKILL)
                await until(lambda: queue.pid != before and queue.state == State.READY)  # noqa: B023  # awaited here
                killed += 1
            await asyncio.gather(*clients)
            assert queue.restarts == 2
            assert {answer.outcome for answer in answers} == {Outcome.ANSWERED}

    uvloop.run(run())


def test_a_row_that_ends_replicas_is_found_and_the_others_are_answered(tmp_path: Path) -> None:
    code = """
    import os
    def answer(rows):
        if (rows[:, 0] == 3).any():
            os._exit(9)
        return rows[:, 0]
    """

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            answers = await asyncio.gather(*(ask(queue, float(n), within=40) for n in range(6)))
            for number, answer in enumerate(answers):
                expected = Outcome.ROW_FAILED if number == 3 else Outcome.ANSWERED
                assert answer.outcome == expected, answer
            assert "ended on this row" in answers[3].error

    uvloop.run(run())


def test_a_replica_that_hangs_is_replaced(tmp_path: Path) -> None:
    code = """
    import pathlib, time
    seen = pathlib.Path(__file__ + ".seen")
    def answer(rows):
        if not seen.exists():
            seen.touch()
            time.sleep(600)
        return rows[:, 0]
    """

    async def run() -> None:
        limits = BatchLimits(stalled_after=0.5)
        async with started(tmp_path, python_version(tmp_path, code), limits=limits) as queue:
            assert (await ask(queue, 5.0)).output == b"5.0"
            assert queue.restarts == 1

    uvloop.run(run())


def test_a_replica_that_lies_is_replaced(tmp_path: Path) -> None:
    code = """
    import os, pathlib
    seen = pathlib.Path(__file__ + ".seen")
    def answer(rows):
        if not seen.exists():
            seen.touch()
            for fd in range(3, 20):
                try:
                    os.write(fd, b"x" * 100)
                except OSError:
                    pass
        return rows[:, 0]
    """

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            assert (await ask(queue, 5.0)).output == b"5.0"
            assert queue.restarts == 1

    uvloop.run(run())


def test_rows_without_a_caller_wait_for_those_with_one(tmp_path: Path) -> None:
    code = "import time\ndef answer(rows):\n    time.sleep(.01)\n    return rows[:, 0]"

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            loop = asyncio.get_running_loop()
            order: list[str] = []
            hold = asyncio.create_task(ask(queue, 0.0))
            await asyncio.sleep(0.002)
            quiet = queue.submit(TWO(1, 1), loop.time() + 20, background=True)
            quiet.add_done_callback(lambda _: order.append("background"))
            loud = queue.submit(TWO(2, 2), loop.time() + 30)
            loud.add_done_callback(lambda _: order.append("caller"))
            await asyncio.gather(hold, quiet, loud)
            assert order == ["caller", "background"]

    uvloop.run(run())


def test_draining_waits_for_what_was_begun_and_stopping_answers_the_rest(tmp_path: Path) -> None:
    code = "import time\ndef answer(rows):\n    time.sleep(.2)\n    return rows[:, 0]"

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            first = asyncio.create_task(ask(queue, 1.0))
            await asyncio.sleep(0.01)
            assert not await queue.drain(timedelta(seconds=0.01))
            assert await queue.drain(timedelta(seconds=5))
            assert (await first).outcome == Outcome.ANSWERED
            second = asyncio.create_task(ask(queue, 1.0))
            await asyncio.sleep(0.01)
            pid = queue.pid
            assert pid is not None
            await queue.stop()
            assert (await second).outcome == Outcome.NO_REPLICA
            assert queue.state == State.STOPPED
            assert (await ask(queue, 1.0)).outcome == Outcome.NO_REPLICA
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    uvloop.run(run())


def test_a_replica_sees_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_ADMIN_KEY", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    code = """
    import os, sys
    def answer(rows):
        return [[sorted(n for n, v in os.environ.items() if v == "secret"),
                 "sqlalchemy" in sys.modules, os.environ["OMP_NUM_THREADS"]]] * len(rows)
    """

    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, code)) as queue:
            assert (await ask(queue, 1.0)).output == b'[[],false,"1"]'

    uvloop.run(run())
