"""Replicas as pods of a cluster.

Each version has a Deployment with as many pods as it has replicas, and a Service. A replica is one
of these pods: frames go straight to its address. What a model may do is bounded as in a container
of one machine: no privilege, nothing to write to but a bounded `/tmp`, limits on memory and
processors.

The cluster is brought back to what it should be: at each change, and every `reconcile_interval`,
objects that somebody edited or deleted are put right. A replica that was lost is replaced by its
supervisor, who knows what was in flight.

What a killed process leaves behind is found by its labels and ended at the next start; where its
pod goes for good, the cluster itself removes what belonged to it.
"""

import asyncio
import contextlib
import hashlib
import logging
import math
import os
import socket
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

from serving.launchers.base import (
    UNLIMITED,
    Limits,
    Replica,
    StartRefusedError,
)
from serving.launchers.cluster import (
    BUDGETS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Cluster,
    Kind,
)
from serving.launchers.environments import environment_of, python_of
from serving.launchers.kubernetes_leftovers import Leftovers
from serving.launchers.kubernetes_objects import (
    DEPLOYMENT,
    OWNER,
    SERVICE,
    Manifests,
)
from serving.launchers.kubernetes_pod_spec import Shape
from serving.launchers.kubernetes_pods import NOT_STARTED, End, has_left, is_leaving, refusal
from serving.launchers.kubernetes_repair import repair
from serving.launchers.kubernetes_replica import (
    FAILURES,
    KILL_GRACE,
    LOOK,
    Group,
    KubernetesReplica,
)
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.records import Version

REFUSED_FOR = 5.0
"""Seconds for which the cluster must refuse to make a pod before that is taken for an end."""
NOBODY = 65534

log = logging.getLogger("serving.launchers")


class KubernetesLauncher:
    """Starts replicas as pods.

    Parameters
    ----------
    folder
        Of the serving process: who the owner is, by machine and path.
    settings
        What the operator says of objects.
    artefacts
        Folder of the artefacts as this process sees it; `settings.artefacts` is how pods do.
    """

    def __init__(
        self,
        folder: Path,
        settings: KubernetesSettings,
        artefacts: Path,
        *,
        cluster: Cluster | None = None,
    ) -> None:
        self.cluster = cluster or Cluster(settings)
        self._settings = settings
        self._artefacts = artefacts.resolve()
        place = f"{socket.gethostname()}:{folder.resolve()}"
        self._owner = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._life = uuid4().hex[:12]
        self._made: Manifests | None = None
        self._groups: dict[str, Group] = {}
        self._doomed: set[str] = set()
        """Pods that are to go and that the API server could not be told about."""
        self._changing = threading.Lock()
        self._pods: dict[str, list[Any]] = {}
        self._looked_at = -math.inf
        self._looking = asyncio.Lock()
        self._reconciling: asyncio.Task[None] | None = None

    async def start(
        self,
        version: Version,
        *,
        python: Path | None,
        features: tuple[str, ...],
        limits: Limits = UNLIMITED,
    ) -> KubernetesReplica:
        """Ask for one pod more of the version's Deployment, which is made if there is none."""
        shape = self._shape(version, features, limits)
        replica = await self.cluster.call(self._add, shape)
        if self._reconciling is None or self._reconciling.done():
            self._reconciling = asyncio.create_task(self._reconcile(), name="reconcile replicas")
        return replica

    def _shape(self, version: Version, features: tuple[str, ...], limits: Limits) -> Shape:
        artefact = version.artefact.resolve()
        if not artefact.exists():
            raise StartRefusedError(self._what(), f"its artefact {artefact} is not there")
        if not artefact.is_relative_to(self._artefacts):
            raise StartRefusedError(
                self._what(), f"its artefact {artefact} is not in {self._artefacts}, which pods see"
            )
        environment = environment_of(version, self._settings.base_image)
        image = self._settings.image.format(
            environment=environment.digest,
            framework=version.framework,
            python=python_of(version),
        )
        user = self._settings.run_as_user or os.geteuid() or NOBODY
        path = artefact.relative_to(self._artefacts).as_posix()
        return Shape(version, features, limits, image, user, path)

    def _what(self) -> str:
        return "the Kubernetes launcher"

    def _manifests(self) -> Manifests:
        if self._made is None:
            self._made = Manifests(
                self._settings, self.cluster.namespace(), self._owner, self._life
            )
        return self._made

    def _add(self, shape: Shape) -> KubernetesReplica:
        manifests = self._manifests()
        name = manifests.deployment_name(shape)
        with self._changing:
            group = self._groups.get(name)
            if group is None:
                group = Group(name, manifests.service_name(shape), shape)
                self._groups[name] = group
            replica = KubernetesReplica(self, group)
            group.replicas.append(replica)
            try:
                self._put(group)
            except BaseException:
                group.replicas.remove(replica)
                if not group.replicas:
                    # Some of it may be there, and be refused to be deleted too.
                    with contextlib.suppress(Exception):
                        self._delete(group)
                raise
        return replica

    def _put(self, group: Group) -> None:
        """Bring the cluster to what a group should be."""
        for kind, wanted in self._wanted(group):
            found = self.cluster.put(kind, wanted)
            if kind is DEPLOYMENTS:
                group.generation = found.metadata.generation

    def _wanted(self, group: Group) -> list[tuple[Kind, Any]]:
        made = self._manifests().make(group.shape, len(group.replicas))
        wanted: list[tuple[Kind, Any]] = [(SERVICES, made.service)]
        if made.budget is not None and self.cluster.has_budgets():
            wanted.append((BUDGETS, made.budget))
        return [*wanted, (DEPLOYMENTS, made.deployment)]

    def remove(self, replica: KubernetesReplica, seconds: int) -> None:
        """Take a replica away, and with the last one all that its Deployment needed.

        The pod goes before the number does: of pods that are left to choose from, the cluster would
        take one that is starting, and it would give each the grace of its template. What it makes
        in the pod's place goes with the number.
        """
        group = replica.group
        with self._changing:
            if replica in group.replicas:
                group.replicas.remove(replica)
            if replica.pod is not None:
                self._doomed.add(replica.pod.metadata.name)
            self._delete_doomed(seconds)
            if group.replicas:
                self._put(group)
            else:
                self._delete(group)

    def _delete_doomed(self, seconds: int) -> None:
        for name in list(self._doomed):
            self.cluster.delete(PODS, name, grace=seconds)
            self._doomed.discard(name)

    def _delete(self, group: Group) -> None:
        # Without a number nothing is made in the place of pods that go before their Deployment.
        self.cluster.empty(group.name)
        self.cluster.delete(DEPLOYMENTS, group.name)
        others = [one for one in self._groups.values() if one is not group and one.replicas]
        if not any(one.service == group.service for one in others):
            self.cluster.delete(SERVICES, group.service)
            if self.cluster.has_budgets():
                self.cluster.delete(BUDGETS, group.service)
        self._groups.pop(group.name, None)

    async def pods_of(self, group: Group) -> list[Any]:
        """The pods of a group; one call for all groups, and not more often than every `LOOK`."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() - self._looked_at > LOOK:
                self._pods = {}
                for pod in await self.cluster.call(self.cluster.find, PODS, {OWNER: self._owner}):
                    self._pods.setdefault(pod.metadata.labels.get(DEPLOYMENT), []).append(pod)
                self._looked_at = loop.time()
        return self._pods.get(group.name, [])

    def unclaimed(self, group: Group, pods: list[Any]) -> Any:
        """The oldest pod that no replica has and that is not leaving."""
        claimed = {one.pod.metadata.uid for one in group.replicas if one.pod is not None}
        free = [pod for pod in pods if pod.metadata.uid not in claimed and not is_leaving(pod)]
        free = [pod for pod in free if pod.metadata.name not in self._doomed]
        return min(free, key=lambda pod: pod.metadata.creation_timestamp, default=None)

    async def refused(self, group: Group) -> End | None:
        """Why the cluster makes no pod for a group, once that has lasted."""
        now = asyncio.get_running_loop().time()
        if group.refused_since is None:
            group.refused_since = now
        if now - group.refused_since < REFUSED_FOR:
            return None
        # Looked at as seldom as it may be an answer.
        group.refused_since = now
        found = await self.cluster.call(
            self.cluster.find, DEPLOYMENTS, {OWNER: self._owner, SERVICE: group.service}
        )
        why = next((refusal(one) for one in found if one.metadata.name == group.name), "")
        return End(NOT_STARTED, why) if why else None

    async def wait_until_gone(self, replica: KubernetesReplica, within: float) -> None:
        """Wait for what runs in a replica's pod to end; with the last one in all of its group's."""
        labels = {DEPLOYMENT: replica.group.name}
        uid = None if replica.pod is None else replica.pod.metadata.uid
        until = asyncio.get_running_loop().time() + within
        while True:
            pods = await self.cluster.call(self.cluster.find, PODS, labels)
            # Others may have come meanwhile, also for what replaces this one.
            alone = replica.group.name not in self._groups
            waited = [
                one for one in pods if (alone or one.metadata.uid == uid) and not has_left(one)
            ]
            if not waited:
                return
            if asyncio.get_running_loop().time() > until:
                log.warning("pod_not_gone replica=%s after=%g", replica.name, within)
                return
            await asyncio.sleep(LOOK)

    async def find(self) -> list[Replica]:
        """Versions with our label that an earlier process started."""
        leftovers = Leftovers(self.cluster, self._owner, self._life)
        return list(await self.cluster.call(leftovers.versions))

    async def _reconcile(self) -> None:
        """Put right what others change, until there is nothing to look after."""
        while self._groups or self._doomed:
            await asyncio.sleep(self._settings.reconcile_interval)
            try:
                await self.cluster.call(self.put_right)
            except FAILURES as error:
                log.warning("cluster_not_compared why=%s", error)
            except Exception:
                # Such as an answer that the client cannot read: the next look is another one.
                log.exception("cluster_not_compared")

    def put_right(self) -> None:
        """Compare what is there with what should be, and change what differs."""
        with self._changing:
            self._delete_doomed(KILL_GRACE)
            for group in list(self._groups.values()):
                if not group.replicas:
                    self._delete(group)
            wanted = {group.name: self._wanted(group) for group in self._groups.values()}
            repair(self.cluster, self._owner, list(self._groups.values()), wanted)
