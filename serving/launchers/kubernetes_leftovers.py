"""What an earlier life of a serving process left in the cluster, and how it goes."""

import asyncio
import math
from datetime import timedelta
from typing import Any

from serving.launchers.cluster import BUDGETS, DEPLOYMENTS, PODS, SERVICES, Cluster, Kind
from serving.launchers.kubernetes_objects import LIFE, OWNER, SERVICE
from serving.launchers.kubernetes_pods import SIGKILL, has_left, is_leaving
from serving.launchers.kubernetes_replica import KILL_GRACE, LEAVE_WITHIN, LOOK


class Leftovers:
    """Objects of one owner that were not made in this life.

    Parameters
    ----------
    owner, life
        As the labels of objects have them.
    """

    def __init__(self, cluster: Cluster, owner: str, life: str) -> None:
        self.cluster = cluster
        self._owner = owner
        self._life = life

    def versions(self) -> list["LeftVersion"]:
        """What is left, by version."""
        found = {one.metadata.labels.get(SERVICE) for _, one in self._objects({})}
        return [LeftVersion(self, service) for service in sorted(found - {None})]

    def _objects(self, labels: dict[str, str]) -> list[tuple[Kind, Any]]:
        return [
            (kind, one)
            for kind in (DEPLOYMENTS, PODS, SERVICES, BUDGETS)
            for one in self.cluster.find(kind, {OWNER: self._owner, **labels})
            if one.metadata.labels.get(LIFE) != self._life and not (kind is PODS and has_left(one))
        ]

    def sweep(self, labels: dict[str, str], seconds: int) -> bool:
        """Delete what is there with these labels; whether nothing was.

        Deployments are emptied first, so that nothing comes in the place of pods that go; what came
        meanwhile is found at the next look.
        """
        found = self._objects(labels)
        for kind, one in found:
            if kind is DEPLOYMENTS:
                self.cluster.empty(one.metadata.name)
        for kind, one in found:
            if kind is not PODS or not is_leaving(one):
                grace = seconds if kind is PODS else None
                self.cluster.delete(kind, one.metadata.name, grace=grace)
        return not found

    async def sweep_until_gone(self, labels: dict[str, str], seconds: int, within: float) -> bool:
        """Sweep and look again; whether nothing was left in time."""
        until = asyncio.get_running_loop().time() + within
        while not await self.cluster.call(self.sweep, labels, seconds):
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(LOOK)
        return True


class LeftVersion:
    """What an earlier life left of one version."""

    pid = None

    def __init__(self, leftovers: Leftovers, service: str) -> None:
        self._leftovers = leftovers
        self._labels = {SERVICE: service}
        self._gone = False
        self.name = f"service {service} and what is behind it"

    async def address(self) -> None:
        """Nowhere: its front has gone."""

    async def poll(self) -> int | None:
        """How pods ended that nobody followed is nobody's to know."""
        return -SIGKILL if self._gone else None

    async def stop(self, grace: timedelta) -> None:
        """Delete all of it and wait until it has gone."""
        seconds = max(KILL_GRACE, math.ceil(grace.total_seconds()))
        within = seconds + LEAVE_WITHIN
        self._gone = await self._leftovers.sweep_until_gone(self._labels, seconds, within)

    def kill(self) -> None:
        """Begin to delete it."""
        leftovers = self._leftovers
        leftovers.cluster.begin(lambda: leftovers.sweep(self._labels, KILL_GRACE))

    def last_words(self) -> str:
        """None that could be told from its replicas'."""
        return ""
