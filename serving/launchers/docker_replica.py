"""One container of a Docker Engine, from its start to its removal."""

import asyncio
import contextlib
import logging
import math
import shutil
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from serving.launchers.base import (
    LAST_WORDS_BYTES,
    LauncherUnavailableError,
    Limits,
    StartRefusedError,
    memory_verdict,
    tasks_verdict,
)
from serving.launchers.docker_networks import NETWORKS, remove_empty
from serving.launchers.engine import Engine

REFUSED_A_TASK = ("Resource temporarily unavailable", "can't start new thread")
"""What is written where the kernel refused a process or a thread."""
PORT = 7700
"""Where it listens in a network."""
SIGKILL = 9
FIRST_SIGNAL_STATUS = 128
"""Exit statuses above this are of signals."""

log = logging.getLogger("serving.launchers")


class DockerReplica:
    """One container."""

    def __init__(
        self, engine: Engine, container: Any, limits: Limits, *,
        folder: Path | None = None, network: str | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._container = container
        self._limits = limits
        self._folder = folder
        self._network = network
        self._status: int | None = None
        self._words = ""
        self._removed = False
        self._killed = False
        self._full = False
        self._killing: Future[None] | None = None
        self.pid: int | None = None
        self.name = f"container {container.name}"

    async def address(self) -> str | None:
        """The socket in the shared folder, or a port in the container's network."""
        if self._folder is not None:
            return str(self._folder / "replica.sock")
        if self._network is None:
            return None
        await self.poll()
        found = self._container.attrs["NetworkSettings"]["Networks"].get(self._network) or {}
        ip = found.get("IPAddress")
        return f"tcp://{ip}:{PORT}" if ip else None

    async def poll(self) -> int | None:
        """Exit status; None while it runs, and while nobody could know."""
        if self._status is None and not self._removed:
            with contextlib.suppress(LauncherUnavailableError):
                await self._engine.call(self.look)
        return self._status

    def look(self) -> None:
        """Ask the engine how it is, in this thread."""
        try:
            self._container.reload()
        except NotFound:
            self._status, self._removed = -SIGKILL, True
            return
        state = self._container.attrs["State"]
        self.pid = state["Pid"] or None
        if state["Status"] in ("exited", "dead"):
            self._remember(state)

    def _remember(self, state: dict[str, Any]) -> None:
        """Keep how it ended and what it said: both go with the container."""
        code = int(state["ExitCode"])
        self._status = code if code <= FIRST_SIGNAL_STATUS else FIRST_SIGNAL_STATUS - code
        said = self._log()
        self._words = "\n".join(filter(None, (said, self._verdict(state, said))))

    def _verdict(self, state: dict[str, Any], said: str) -> str:
        if self._full or any(sign in said for sign in REFUSED_A_TASK):
            return tasks_verdict(self._container.attrs["HostConfig"]["PidsLimit"])
        if state.get("OOMKilled") or "MemoryError" in said:
            return memory_verdict(self._limits.memory_mb)
        if self._status == -SIGKILL and not self._killed:
            # Where the kernel ended a child of the container's first process, only the status says.
            if self._limits.memory_mb is not None:
                return f"(It was killed by SIGKILL; its memory is {self._limits.memory_mb} MiB.)"
            return "(It was killed by SIGKILL, as the kernel does where memory runs out.)"
        return str(state.get("Error") or "")

    async def stop(self, grace: timedelta) -> None:
        """End it, keep its last words, remove it."""
        if self._killing is not None:
            with contextlib.suppress(LauncherUnavailableError, StartRefusedError):
                await asyncio.wrap_future(self._killing)
        try:
            await self._engine.call(self._end, math.ceil(grace.total_seconds()))
        except (LauncherUnavailableError, StartRefusedError) as error:
            # Without a front it ends by itself, and the next start finds what is left of it. Only
            # the text is logged: the error holds on to a connection.
            log.warning("container_not_removed container=%s why=%s", self.name, str(error))

    def _end(self, seconds: int) -> None:
        if self._removed:
            self._tidy()
            return
        try:
            self._container.stop(timeout=seconds)
            self._container.reload()
            if self._status is None:
                self._remember(self._container.attrs["State"])
            self._container.remove(force=True, v=True)
        except NotFound:
            self._status = -SIGKILL if self._status is None else self._status
        self._removed = True
        self._tidy()

    def _tidy(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._network is not None:
            with NETWORKS:
                remove_empty(self._engine.client(), self._network)

    def kill(self) -> None:
        """Begin to kill it, in another thread: the engine takes its time."""
        if self._status is None and self._killing is None:
            self._killed = True
            self._killing = self._engine.begin(self._kill)

    def _kill(self) -> None:
        with contextlib.suppress(NotFound, StartRefusedError):
            try:
                # A model that goes on where it is refused a process says nothing of it.
                seen = self._container.stats(stream=False, one_shot=True).get("pids_stats", {})
                self._full = seen.get("current", 0) >= seen.get("limit", math.inf)
                self._container.kill()
            except Exception as error:
                # One that has ended by itself cannot be killed: the engine calls that a conflict.
                if getattr(error, "status_code", None) != 409:
                    raise

    async def words_so_far(self) -> str:
        """The end of its log, also while it runs."""
        if not self._words and not self._removed:
            with contextlib.suppress(LauncherUnavailableError, StartRefusedError, NotFound):
                return await self._engine.call(self._log)
        return self._words

    def _log(self) -> str:
        end: bytes = self._container.logs(tail=200)[-LAST_WORDS_BYTES:]
        return end.decode(errors="replace").strip()

    def last_words(self) -> str:
        """The end of its log, and what ended it."""
        return self._words
