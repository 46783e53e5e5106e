"""One pod of a version, and what is left of one, as the service sees them."""

import asyncio
import contextlib
import logging
import math
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from serving.launchers.base import LAST_WORDS_BYTES, LauncherUnavailableError, StartRefusedError
from serving.launchers.cluster import Cluster
from serving.launchers.kubernetes_pod_spec import PORT, Shape
from serving.launchers.kubernetes_pods import (
    NOT_STARTED,
    SIGKILL,
    End,
    end_of,
    failed_pull,
    hindrance,
    is_leaving,
    is_running,
)

LOOK = 0.25
"""Seconds between two looks at the pods; all replicas share one look."""
LEAVE_WITHIN = 30.0
"""Seconds beyond its grace after which a pod that does not go, as on a dead node, is left to the
cluster."""
KILL_GRACE = 1
"""Seconds between the two signals of a kill. With none at all the API would forget the pod before
its node has ended it."""
LOG_LINES = 200
FAILURES = (LauncherUnavailableError, StartRefusedError)

log = logging.getLogger("serving.launchers")


class Keeper(Protocol):
    """What a replica needs of its launcher."""

    cluster: Cluster

    async def pods_of(self, group: "Group") -> list[Any]:
        """The pods of a group."""

    def unclaimed(self, group: "Group", pods: list[Any]) -> Any:
        """A pod that no replica has; none if there is none."""

    async def refused(self, group: "Group") -> End | None:
        """Why the cluster makes no pod."""

    def remove(self, replica: "KubernetesReplica", seconds: int) -> None:
        """Take a replica away."""

    async def wait_until_gone(self, replica: "KubernetesReplica", within: float) -> None:
        """Wait for its pod to go."""


@dataclass(eq=False, slots=True)
class Group:
    """The replicas of one Deployment."""

    name: str
    service: str
    shape: Shape
    replicas: list["KubernetesReplica"] = field(default_factory=list)
    generation: int | None = None
    """Of the Deployment as we left it: any edit by others makes it another one."""
    refused_since: float | None = None


class KubernetesReplica:
    """One pod of a version's Deployment."""

    pid = None
    """It runs on another machine."""

    def __init__(self, launcher: Keeper, group: Group) -> None:
        self.group = group
        self.pod: Any = None
        """As last seen; none until the cluster has made one for this replica."""
        self._launcher = launcher
        self._ran = False
        self._end: End | None = None
        self._words = ""
        self._pull = ""
        """Why its image could not be pulled, as its node said at the last attempt."""
        self._killing: Future[None] | None = None
        self._removed = False

    @property
    def name(self) -> str:
        """The pod's name, or the Deployment's before there is one."""
        if self.pod is None:
            return f"replica of deployment {self.group.name}"
        return f"pod {self.pod.metadata.name}"

    async def address(self) -> str | None:
        """The frames' port at the pod's address."""
        await self._look()
        if self._end is not None or self.pod is None or not is_running(self.pod):
            return None
        ip = self.pod.status.pod_ip
        return f"tcp://{f'[{ip}]' if ':' in ip else ip}:{PORT}" if ip else None

    async def poll(self) -> int | None:
        """Exit status; None while it runs or is on its way, and while nobody could know."""
        await self._look()
        return None if self._end is None else self._end.status

    async def _look(self) -> None:
        if self._end is not None or self._removed:
            return
        with contextlib.suppress(*FAILURES):
            pods = await self._launcher.pods_of(self.group)
            end = self._follow(pods)
            if self.pod is None and end is None:
                end = await self._launcher.refused(self.group)
            if end is not None and self._end is None:
                await self._remember(end)

    def _follow(self, pods: list[Any]) -> End | None:
        """Take what the cluster has made, and see how it does."""
        known = None if self.pod is None else self.pod.metadata.uid
        seen = next((one for one in pods if one.metadata.uid == known), None)
        if known is not None and (seen is None or is_leaving(seen)):
            if self._ran:
                return End(-SIGKILL, "(Its pod was deleted.)")
            # One that never ran may be taken away for another: that one is as good.
            self.pod = None
        if self.pod is None:
            seen = self._launcher.unclaimed(self.group, pods)
        if seen is None:
            return None
        self.pod = seen
        self._ran = self._ran or is_running(seen)
        self._pull = "" if self._ran else failed_pull(seen) or self._pull
        return end_of(seen, self.group.shape.limits.memory_mb)

    async def _remember(self, end: End) -> None:
        """Keep how it ended and what it said: both go with the pod."""
        self._words = _lines(await self._said(end), self._pull, end.why)
        self._end = end

    async def _said(self, end: End) -> str:
        said = end.words
        if self.pod is not None and (self._ran or end.status != NOT_STARTED):
            with contextlib.suppress(*FAILURES):
                logged = await self._launcher.cluster.call(
                    self._launcher.cluster.log_of, self.pod.metadata.name,
                    previous=end.previous, lines=LOG_LINES,
                )  # fmt: skip
                said = max(logged, said, key=len)
        return said.encode()[-LAST_WORDS_BYTES:].decode(errors="replace").strip()

    async def stop(self, grace: timedelta) -> None:
        """Keep its last words, end it, and wait until its node says that it has ended."""
        seconds = max(KILL_GRACE, math.ceil(grace.total_seconds()))
        try:
            if self._killing is not None:
                await asyncio.wrap_future(self._killing)
            elif not self._removed:
                await self._keep_words()
                await self._launcher.cluster.call(self._launcher.remove, self, seconds)
            self._removed = True
            await self._launcher.wait_until_gone(self, seconds + LEAVE_WITHIN)
        except FAILURES as error:
            self._removed = True
            # What is left of it goes when the API server answers again.
            log.warning("replica_not_removed replica=%s why=%s", self.name, error)
        if self._end is None:
            self._end = End(-SIGKILL if self._killing is not None else 0, "")

    async def _keep_words(self) -> None:
        await self._look()
        if self._end is None and self.pod is not None:
            self._words = _lines(await self._said(End(0, "")), self._held_up())

    async def words_so_far(self) -> str:
        """The end of its log while it runs, or what holds it up."""
        if self._end is None and not self._removed and self._killing is None:
            await self._keep_words()
        return self._words

    def _held_up(self) -> str:
        return "" if self._ran or self.pod is None else _lines(self._pull, hindrance(self.pod))

    def kill(self) -> None:
        """Begin to end it, in another thread: the API server takes its time."""
        if self._killing is None and not self._removed:
            self._killing = self._launcher.cluster.begin(self._kill)

    def _kill(self) -> None:
        if self._end is None:
            self._words = self._held_up() or self._words
        if self._end is None and self.pod is not None and self._ran:
            # Afterwards nobody can ask for them.
            with contextlib.suppress(Exception):
                name = self.pod.metadata.name
                said = self._launcher.cluster.log_of(name, previous=False, lines=LOG_LINES)
                self._words = said.encode()[-LAST_WORDS_BYTES:].decode(errors="replace").strip()
        self._launcher.remove(self, KILL_GRACE)

    def last_words(self) -> str:
        """The end of its log, and what ended it or held it up."""
        return self._words


def _lines(*said: str) -> str:
    """What was said, each once."""
    return "\n".join(dict.fromkeys(filter(None, said)))
