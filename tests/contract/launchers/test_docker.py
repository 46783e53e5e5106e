"""What holds of containers alone."""

import asyncio
import dataclasses
import gc
import json
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.batching import BatchQueue, State
from serving.errors import VersionFailedToStartError
from serving.launchers.base import Launcher, LauncherUnavailableError, StartRefusedError
from serving.launchers.docker import DIGEST, DockerLauncher
from serving.launchers.docker_networks import OWNER
from serving.launchers.engine import Engine
from serving.launchers.options import DockerOptions
from tests.contract.launchers import models
from tests.contract.launchers.launching import launcher_of, running
from tests.support.data_plane import python_version

pytestmark = [pytest.mark.containers, pytest.mark.usefixtures("base_image")]

SOCKET = "/var/run/docker.sock"


@contextmanager
def way_to_the_engine(path: Path) -> Iterator["Way"]:
    way = Way(path)
    try:
        yield way
    finally:
        way.cut()


class Way:
    """A socket that leads to the engine, until it is cut."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = path
        self._open: list[socket.socket] = []
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From here on nobody answers."""
        self._path.unlink(missing_ok=True)
        for one in [self._listener, *self._open]:
            # Wakes who waits on it, which closing alone does not.
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(SOCKET)
            self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return launcher_of("docker", tmp_path / "replicas")


def test_a_model_can_reach_and_change_nothing(launcher: Launcher, tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        async with running(launcher, python_version(tmp_path, models.LOOKS_AROUND)) as talk:
            await talk.greet()
            seen: dict[str, Any] = json.loads(await talk.ask(1.0, 2.0))
            return seen

    seen = asyncio.run(run())
    assert seen["user"] != 0
    assert seen["write"] == "OSError"
    assert seen["write artefact"] in ("OSError", "PermissionError")
    assert "ro" in seen["artefact"].split(",")
    assert seen["out"] == "OSError"
    assert int(seen["capabilities"], 16) == 0
    assert seen["no new privileges"] == "1"


def test_a_container_carries_the_labels_by_which_it_is_found(
    launcher: Launcher, tmp_path: Path
) -> None:
    import docker

    async def run() -> dict[str, Any]:
        of = python_version(tmp_path, models.SUMS)
        async with running(launcher, of) as talk:
            await talk.greet()
            client = docker.from_env()
            container = client.containers.get(talk.replica.name.removeprefix("container "))
            attributes: dict[str, Any] = container.attrs
            client.close()
            return attributes

    attributes = asyncio.run(run())
    labels = attributes["Config"]["Labels"]
    assert labels[OWNER]
    assert labels[DIGEST] == "0" * 64
    assert attributes["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert attributes["HostConfig"]["NetworkMode"] == "none"
    assert attributes["Config"]["Healthcheck"]["Test"][3] == "serving.replica.probe"


def test_an_engine_that_goes_away_leaves_replicas_answering_and_refuses_changes(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        with way_to_the_engine(tmp_path / "engine.sock") as way:
            engine = Engine(f"unix://{tmp_path / 'engine.sock'}")
            launcher = DockerLauncher(tmp_path / "replicas", DockerOptions(), engine=engine)
            of = python_version(tmp_path, models.SUMS)
            queue = BatchQueue(of, launcher, features=("a",))
            await queue.start(timedelta(seconds=60))
            way.cut()
            answer = await queue.submit(bytes(8), asyncio.get_running_loop().time() + 10)
            assert answer.output == b"0.0"
            with pytest.raises(LauncherUnavailableError, match=r"container engine at unix://"):
                await launcher.start(of, python=None, features=("a",))
            other = BatchQueue(
                python_version(tmp_path, models.SUMS, name="m:2"), launcher, features=("a",)
            )
            with pytest.raises(VersionFailedToStartError, match="expected the container engine"):
                await other.start(timedelta(seconds=60))
            assert queue.state == State.READY
            assert queue.restarts == 0
            await queue.stop()
        # The container could not be removed; the next life of the service does that.
        later = launcher_of("docker", tmp_path / "replicas")
        (left,) = await later.find()
        await left.stop(timedelta(seconds=5))
        assert await later.find() == []

    # The SDK forgets to close a socket with which it found nobody.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(run())
        gc.collect()


def test_requirements_that_cannot_be_had_are_told_with_the_words_of_the_build(
    launcher: Launcher, tmp_path: Path
) -> None:
    of = dataclasses.replace(
        python_version(tmp_path, models.SUMS),
        manifest={"entry": "model:answer", "requirements": ["numpy==0.0.1"]},
    )

    async def run() -> None:
        with pytest.raises(StartRefusedError, match=r"(?s)the build of .*numpy==0\.0\.1"):
            await launcher.start(of, python=None, features=("a",))

    asyncio.run(run())


def test_a_base_image_that_is_nowhere_is_named(tmp_path: Path) -> None:
    options = DockerOptions(base_image="leadsman.invalid/nothing:{python}")
    launcher = DockerLauncher(tmp_path / "replicas", options)

    async def run() -> None:
        with pytest.raises(StartRefusedError, match=r"leadsman\.invalid/nothing:3\."):
            await launcher.start(
                python_version(tmp_path, models.SUMS), python=None, features=("a",)
            )

    asyncio.run(run())
