"""Launchers of every kind, and one replica talked to as the service does."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from serving.launchers.base import UNLIMITED, Launcher, Limits, Replica, TellsSoFar
from serving.launchers.options import TASKS, DockerOptions
from serving.launchers.process import ProcessLauncher
from serving.records import Version
from serving.replica.protocol import Encoding, Frame, Kind
from serving.replica_client import ReplicaConnection, parse_answer, predict_frame, reach

PATIENCE = 60.0
"""Seconds for a start on a slow machine."""
GRACE = timedelta(seconds=3)


def launcher_of(kind: str, folder: Path, *, tasks: int = TASKS) -> Launcher:
    """A launcher as the service makes it for a data folder."""
    if kind == "process":
        return ProcessLauncher(folder, tasks=tasks)
    if kind == "kubernetes":
        from serving.launchers.kubernetes import KubernetesLauncher
        from serving.launchers.kubernetes_settings import KubernetesSettings

        # The rest comes from the environment, as the cluster's fixture sets it.
        settings = KubernetesSettings(artefacts=f"host:{folder.parent}")
        return KubernetesLauncher(folder, settings, folder.parent)
    from serving.launchers.docker import DockerLauncher

    network = {"docker": "none", "docker over TCP": "own"}[kind]
    return DockerLauncher(folder, DockerOptions(network=network, tasks=tasks))


class Talk:
    """A connection to a replica."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._connection: ReplicaConnection | None = None

    async def greet(self, within: float = PATIENCE) -> Frame | None:
        """Connect and wait for the hello; none if the replica ends before."""
        self._connection = await reach(
            self.replica, lambda: ReplicaConnection(self._frames.put_nowait, self._end), within
        )
        return None if self._connection is None else await self.hear(within)

    async def hear(self, within: float) -> Frame | None:
        """The next frame; none if the replica ends or says nothing."""
        heard = asyncio.ensure_future(self._frames.get())
        awaited: list[asyncio.Future[Any]] = [heard, self.ended]
        await asyncio.wait(awaited, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        return heard.result() if heard.done() else None

    async def ask(self, *values: float, within: float = PATIENCE) -> bytes:
        """The model's answer to one row."""
        self.send(*values)
        frame = await self.hear(within)
        assert frame is not None, "no answer"
        assert frame.kind == Kind.ANSWER, bytes(frame.payload)
        answer = parse_answer(frame, 1, [])
        assert not answer.errors, answer.errors
        return answer.outputs[0]

    def send(self, *values: float) -> None:
        """Ask for one row and do not wait."""
        assert self._connection is not None
        row = struct.pack(f"<{len(values)}d", *values)
        self._connection.send(predict_frame(Encoding.FLOATS, [row], 1))

    def close(self) -> None:
        """Go away."""
        if self._connection is not None:
            self._connection.close("done")

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


@asynccontextmanager
async def running(
    launcher: Launcher, version: Version, limits: Limits = UNLIMITED
) -> AsyncIterator[Talk]:
    """A replica with a connection; both are gone afterwards."""
    replica = await launcher.start(version, python=None, features=("a", "b"), limits=limits)
    talk = Talk(replica)
    try:
        yield talk
    finally:
        talk.close()
        replica.kill()
        await replica.stop(timedelta(0))


async def ended(replica: Replica, within: float = PATIENCE) -> int:
    """The exit status of a replica that ends by itself."""
    until = time.monotonic() + within
    while (status := await replica.poll()) is None:
        assert time.monotonic() < until, "it still runs"
        await asyncio.sleep(0.05)
    return status


async def said(replica: Replica, words: str, within: float = PATIENCE) -> None:
    """Wait until a replica has written something."""
    until = time.monotonic() + within
    while words not in (
        await replica.words_so_far() if isinstance(replica, TellsSoFar) else replica.last_words()
    ):
        assert time.monotonic() < until, f"it did not say {words!r}"
        await asyncio.sleep(0.1)


def marked(mark: str) -> list[int]:
    """Processes of this machine, in containers too, with a mark on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(
            mark in word for word in process.info["cmdline"] or []
        ):
            found.append(process.pid)
    return found
