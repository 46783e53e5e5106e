"""What every launcher promises."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from serving.launchers.base import Launcher, Limits
from serving.replica.protocol import Kind
from tests.contract.launchers import models
from tests.contract.launchers.launching import (
    GRACE,
    Talk,
    ended,
    launcher_of,
    marked,
    running,
    said,
)
from tests.support.data_plane import python_version, sklearn_version


def test_a_replica_answers_what_the_model_answers(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS)) as talk:
            hello = await talk.greet()
            assert hello is not None
            assert hello.kind == Kind.HELLO
            assert json.loads(bytes(hello.payload))["python"].startswith("3.")
            assert [float(await talk.ask(1.0, n)) for n in (0, 2, 4)] == [1.0, 3.0, 5.0]
            assert await talk.replica.poll() is None

    asyncio.run(run())


def test_a_model_of_a_library_is_loaded_with_the_release_it_was_made_with(
    launcher: Launcher, tmp_path: Path
) -> None:
    import sklearn

    async def run() -> None:
        async with running(launcher, sklearn_version(tmp_path)) as talk:
            hello = await talk.greet()
            assert hello is not None
            said = json.loads(bytes(hello.payload))
            assert said["classes"] == [0, 1]
            assert said["libraries"]["scikit-learn"] == sklearn.__version__

    asyncio.run(run())


def test_a_replica_is_ready_no_sooner_than_its_model_is_loaded(
    launcher: Launcher, tmp_path: Path
) -> None:
    async def run() -> None:
        of = python_version(tmp_path, models.SLOW_TO_LOAD)
        # Before the clock runs: an image may have to be built.
        async with running(launcher, python_version(tmp_path, models.SUMS, name="m:2")):
            pass
        begun = time.monotonic()
        async with running(launcher, of) as talk:
            assert await talk.greet() is not None
            assert time.monotonic() - begun > 1.5
            assert await talk.ask(1.0, 2.0) == b"3.0"

    asyncio.run(run())


def test_a_replica_that_ends_by_itself_leaves_its_status_and_its_last_words(
    launcher: Launcher, tmp_path: Path
) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.ENDS)) as talk:
            assert await talk.greet() is None
            assert await ended(talk.replica) == 7
            await talk.replica.stop(timedelta(0))
            assert "no licence" in talk.replica.last_words()

    asyncio.run(run())


def test_memory_beyond_the_limit_ends_the_replica_alone_and_is_told(
    launcher: Launcher, tmp_path: Path
) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS, name="m:2")) as other:
            assert await other.greet() is not None
            limits = Limits(memory_mb=512)
            async with running(launcher, python_version(tmp_path, models.GREEDY), limits) as talk:
                assert await talk.greet() is None
                assert await ended(talk.replica) != 0
                await talk.replica.stop(timedelta(0))
                words = talk.replica.last_words()
                assert words.endswith("(It reached its memory limit of 512 MiB.)")
            assert await other.ask(1.0, 2.0) == b"3.0"

    asyncio.run(run())


def test_a_replica_uses_no_more_processors_than_it_was_given(
    launcher: Launcher, tmp_path: Path
) -> None:
    async def run() -> float:
        of = python_version(tmp_path, models.BURNS)
        async with running(launcher, of, Limits(cpu=1)) as talk:
            assert await talk.greet() is not None
            return float(await talk.ask(1.0, 1.0))

    # Two loops for two seconds: without a limit up to two processors.
    assert asyncio.run(run()) < 1.2


def test_a_stop_is_polite_and_quick(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS)) as talk:
            await talk.greet()
            begun = time.monotonic()
            await talk.replica.stop(timedelta(seconds=20))
            assert time.monotonic() - begun < 10
            assert await talk.replica.poll() is not None
            assert "loaded" in talk.replica.last_words()
            assert await launcher.find() == []

    asyncio.run(run())


def test_a_stop_is_quick_also_while_the_model_is_loaded(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, models.NEVER_LOADED)
        replica = await launcher.start(of, python=None, features=("a",))
        try:
            await said(replica, "reading")
        finally:
            begun = time.monotonic()
            await replica.stop(timedelta(seconds=20))
        assert time.monotonic() - begun < 10
        assert await replica.poll() is not None

    asyncio.run(run())


def test_a_replica_that_hangs_is_stopped_by_force(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.HANGS)) as talk:
            await talk.greet()
            talk.send(1.0, 2.0)
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            await talk.replica.stop(GRACE)
            assert time.monotonic() - begun < GRACE.total_seconds() + 10
            assert await talk.replica.poll() is not None

    asyncio.run(run())


def test_a_kill_ends_what_the_model_has_started_too(launcher: Launcher, tmp_path: Path) -> None:
    mark = f"mark-{uuid4()}"

    async def run() -> None:
        code = models.FORKS.replace("{mark}", mark).replace("{apart}", "False")
        async with running(launcher, python_version(tmp_path, code)) as talk:
            await talk.greet()
            assert len(marked(mark)) == 1
            talk.replica.kill()
            assert await asyncio.wait_for(talk.ended, 20)
            await talk.replica.stop(timedelta(0))
            assert await talk.replica.poll() == -signal.SIGKILL

    asyncio.run(run())
    assert marked(mark) == []


def test_the_end_of_a_long_log_is_what_is_told(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.CHATTERS)) as talk:
            await talk.greet()
            await asyncio.sleep(1)
            await talk.ask(1.0, 2.0)
            await talk.replica.stop(GRACE)
            assert 500 < len(talk.replica.last_words()) <= 4200
            assert "xxx" in talk.replica.last_words()

    asyncio.run(run())


@pytest.mark.faults
def test_what_a_killed_service_left_is_found_by_the_next_one_and_ended(
    kind: str, tmp_path: Path
) -> None:
    mark = f"mark-{uuid4()}"
    code = models.FORKS.replace("{mark}", mark).replace("{apart}", "True")
    artefact = python_version(tmp_path, code).artefact
    command = [sys.executable, "-m", "tests.contract.launchers.controller"]
    service = subprocess.Popen(
        [*command, kind, str(tmp_path / "replicas"), str(artefact)], stdout=subprocess.PIPE
    )
    assert service.stdout is not None
    try:
        assert service.stdout.readline()
    finally:
        service.kill()
        service.wait()
        service.stdout.close()

    async def run() -> None:
        other = launcher_of(kind, tmp_path / "another")
        assert await other.find() == []
        launcher = launcher_of(kind, tmp_path / "replicas")
        found = await launcher.find()
        assert len(found) == 1
        for one in found:
            await one.stop(GRACE)
            assert await one.poll() is not None
        assert await launcher.find() == []

    assert len(marked(mark)) == 1
    asyncio.run(run())
    assert marked(mark) == []


def test_two_replicas_of_a_version_run_side_by_side(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, models.SUMS)
        async with running(launcher, of) as one, running(launcher, of) as two:
            assert await one.greet() is not None
            assert await two.greet() is not None
            assert one.replica.name != two.replica.name
            one.replica.kill()
            await asyncio.wait_for(one.ended, 20)
            assert await two.ask(1.0, 2.0) == b"3.0"

    asyncio.run(run())


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("process", "DOUBLES"),
        ("process", "DOUBLES_APART"),
        ("process", "THREADS"),
        pytest.param("docker", "DOUBLES", marks=pytest.mark.containers),
        pytest.param("docker", "INSISTS", marks=pytest.mark.containers),
    ],
    # How many processes a pod may have is its node's to say.
    indirect=["kind"],
)
def test_a_model_that_starts_processes_without_end_is_ended_with_all_of_them_and_told(
    kind: str, code: str, tmp_path: Path
) -> None:
    launcher, mark = launcher_of(kind, tmp_path / "replicas", tasks=64), uuid4().hex

    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS, name="m:2")) as other:
            assert await other.greet() is not None
            of = python_version(tmp_path, getattr(models, code), name=f"m:{mark}")
            async with running(launcher, of) as talk:
                assert await talk.greet(within=4) is None
                # As where it was not ready in time: a container goes on with what it has.
                talk.replica.kill()
                await talk.replica.stop(timedelta(0))
                assert talk.replica.last_words().endswith(
                    "(It started too many processes: with their threads it may have 64.)"
                )
            assert marked(mark) == []
            assert await other.ask(1.0, 2.0) == b"3.0"

    asyncio.run(run())


def test_an_artefact_that_is_gone_is_a_named_end(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> str:
        of = python_version(tmp_path, models.SUMS)
        of.artefact.unlink()
        try:
            replica = await launcher.start(of, python=None, features=("a", "b"))
        except OSError as error:
            return str(error)
        talk = Talk(replica)
        assert await talk.greet() is None
        await replica.stop(timedelta(0))
        return replica.last_words()

    assert "m_1.py" in asyncio.run(run())
