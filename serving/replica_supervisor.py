"""Keeps one replica of a version alive."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from serving.errors import VersionFailedToStartError
from serving.launchers.base import UNLIMITED, Launcher, Limits, Replica, TellsSoFar
from serving.records import Version
from serving.replica.protocol import Frame, Kind, ProtocolError
from serving.replica_client import Hello, ReplicaConnection, parse_hello, reach

FIRST_PAUSE = 0.1
"""Seconds before the second attempt to replace a replica; the first is made at once."""
LONGEST_PAUSE = 15.0
"""Seconds between attempts at most: each one doubles the pause."""
STEADY_AFTER = 5.0
"""Seconds of life after which a replica's end counts as the first again: one that serves for longer
than it takes to start is worth having at once, however often it is killed."""
GIVEN_UP_AFTER = 3
"""Failed attempts in a row after which callers are told that there is no replica."""
RESTART_TIMEOUT = 120.0
"""Seconds in which a replacement must say hello."""

log = logging.getLogger("serving.replica")


class Lost(Protocol):
    """Told that the replica ended."""

    def __call__(self, reason: str, *, gone_for_good: bool) -> None: ...


class ReplicaSupervisor:
    """Starts a replica, connects to it, and replaces it when it ends."""

    def __init__(
        self,
        version: Version,
        launcher: Launcher,
        *,
        features: tuple[str, ...],
        python: Path | None,
        on_ready: Callable[[Hello], None],
        on_frame: Callable[[Frame], None],
        on_lost: Lost,
        limits: Limits = UNLIMITED,
    ) -> None:
        self.state = "starting"
        """One of batching's `State`."""
        self.hello: Hello | None = None
        self.restarts = 0
        self._version = version
        self._launcher = launcher
        self._features = features
        self._python = python
        self._limits = limits
        self._on_ready = on_ready
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._replica: Replica | None = None
        self._words_before = ""
        """The last words of the replica that was lost last."""
        self._connection: ReplicaConnection | None = None
        self._ended: asyncio.Future[str] | None = None
        self._greeted: asyncio.Future[Hello] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The replica's process, if one was started."""
        return None if self._replica is None else self._replica.pid

    @property
    def last_words(self) -> str:
        """The end of the replica's standard error."""
        return "" if self._replica is None else self._replica.last_words()

    async def words(self) -> str:
        """The end of what the replica wrote; of the one before it where that has just ended."""
        if self._words_before:
            return self._words_before
        replica = self._replica
        return await replica.words_so_far() if isinstance(replica, TellsSoFar) else self.last_words

    async def start(self, within: float) -> Hello:
        """Bring the first replica up; from then on it is kept alive until `stop`."""
        try:
            hello = await self._bring_up(within)
        except BaseException:
            # A version that never came up is not tried again behind the caller's back.
            self.state = "failed"
            await self._bury()
            raise
        self._task = asyncio.create_task(self._keep(), name=f"replica {self._version.ref}")
        return hello

    async def stop(self, grace: timedelta) -> None:
        """End the replica and do not replace it."""
        self.state = "stopped"
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        connection, self._connection = self._connection, None
        if connection is not None:
            # The replica ends by itself when its front goes away.
            connection.close("the version was stopped")
        if self._replica is not None:
            await self._replica.stop(grace)

    def send(self, data: bytes) -> None:
        """Hand a frame to the replica."""
        if self._connection is not None:
            self._connection.send(data)

    def replace(self, reason: str) -> None:
        """Kill the replica; another takes its place."""
        if self._replica is not None:
            self._replica.kill()
        if self._connection is not None:
            self._connection.close(reason)

    async def _bring_up(self, within: float) -> Hello:
        loop = asyncio.get_running_loop()
        try:
            replica = self._replica = await self._launcher.start(
                self._version, python=self._python, features=self._features, limits=self._limits
            )
        except OSError as error:
            raise VersionFailedToStartError(self._version.ref, str(error), "") from error
        self._greeted = loop.create_future()
        self._ended = loop.create_future()
        until = loop.time() + within
        self._connection = await reach(
            replica, lambda: ReplicaConnection(self._receive, self._end), within
        )
        if self._connection is not None:
            awaited: list[asyncio.Future[Any]] = [self._greeted, self._ended]
            rest = max(0.0, until - loop.time())
            await asyncio.wait(awaited, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        if not self._greeted.done():
            ended = self._ended.done() or await replica.poll() is not None
            why = "it ended before it was ready" if ended else f"not ready within {within:g} s"
            await self._bury()
            raise VersionFailedToStartError(self._version.ref, why, replica.last_words())
        self.hello = self._greeted.result()
        self.state = "ready"
        log.info("replica_started version=%s replica=%s", self._version.ref, replica.name)
        self._on_ready(self.hello)
        return self.hello

    async def _keep(self) -> None:
        """Replace the replica whenever it ends, ever more slowly while it ends at once."""
        loop = asyncio.get_running_loop()
        failures, failed_starts, since, alive = 0, 0, loop.time(), True
        while True:
            if alive:
                await self._wait_for_end()
                failures = 0 if loop.time() - since > STEADY_AFTER else failures
            if failures:
                await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))
            failures += 1
            self.restarts += 1
            try:
                await self._bring_up(RESTART_TIMEOUT)
                failed_starts, since, alive = 0, loop.time(), True
            except (VersionFailedToStartError, OSError) as error:
                alive = False
                failed_starts += 1
                log.warning("replica_restart_failed version=%s reason=%s", self._version.ref, error)
                if failed_starts >= GIVEN_UP_AFTER and self.state != "failed":
                    self.state = "failed"
                    self._on_lost(f"the version does not start: {error}", gone_for_good=True)

    async def _wait_for_end(self) -> None:
        assert self._ended is not None  # set by every _bring_up, and one has succeeded
        reason = await self._ended
        await self._bury()
        self._words_before = self.last_words
        log.warning(
            "replica_lost version=%s reason=%s last_words=%s",
            self._version.ref, reason, self.last_words[-500:],
        )  # fmt: skip

    async def _bury(self) -> None:
        """Make sure that nothing is left of the replica; its last words stay readable."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close("the replica is being replaced")
        if self._replica is not None:
            self._replica.kill()
            await self._replica.stop(timedelta(0))

    def _receive(self, frame: Frame) -> None:
        if frame.kind == Kind.HELLO and self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(parse_hello(bytes(frame.payload)))
            return
        if frame.kind not in (Kind.ANSWER, Kind.FAILURE):
            raise ProtocolError(f"expected an answer, got a frame of kind {frame.kind}")
        self._on_frame(frame)

    def _end(self, reason: str) -> None:
        """The connection ended, from whichever side."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)
        if self.state == "ready":
            self.state = "restarting"
            if self._replica is not None:
                self._replica.kill()
            self._on_lost(reason, gone_for_good=False)
