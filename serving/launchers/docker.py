"""Replicas as containers of a Docker Engine, on the machine of this process.

A container has no network at all unless asked: frames go over a Unix socket in a folder that only
this replica shares with us. Its root and its artefact are read-only, it has no capability, cannot
gain privileges, and runs as the owner of this process, or as nobody where that is root. Memory and
processors are bounded by the kernel, its log by the engine. The engine never restarts it: that is
the supervisor's, who knows what was in flight.

What a killed process leaves behind ends by itself after `LINGER`, and is found by its labels and
ended at the next start.
"""

import hashlib
import json
import math
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from docker.types import Healthcheck, LogConfig, Mount

from serving.launchers.base import THREADS, UNLIMITED, Limits, Replica, model_options
from serving.launchers.docker_networks import NETWORKS, OWNER, make, name_of, remove_empty
from serving.launchers.docker_replica import PORT, DockerReplica
from serving.launchers.engine import Engine
from serving.launchers.environments import Environment, environment_of
from serving.launchers.images import Images
from serving.launchers.options import NO_NETWORK, OWN_NETWORK, DockerOptions
from serving.records import Version

LIFE = "dev.leadsman.life"
"""Label: which life of that process started it."""
VERSION = "dev.leadsman.version"
DIGEST = "dev.leadsman.digest"

LINGER = 30
"""Seconds after which a container without a front ends by itself."""
NOBODY = 65534
SHARED = "/run/leadsman"
"""The shared folder, as the container sees it."""


class DockerLauncher:
    """Starts one container for each replica.

    Parameters
    ----------
    folder
        Of the serving process: who the owner is, by machine and path.
    """

    def __init__(
        self, folder: Path, options: DockerOptions | None = None, *, engine: Engine | None = None
    ) -> None:
        self._options = options or DockerOptions()
        self._engine = engine or Engine()
        self._images = Images(self._engine)
        place = f"{socket.gethostname()}:{folder.resolve()}"
        self._owner = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._life = uuid4().hex
        self._started = 0

    async def start(
        self,
        version: Version,
        *,
        python: Path | None,
        features: tuple[str, ...],
        limits: Limits = UNLIMITED,
    ) -> DockerReplica:
        """Start a container of the version's image, which is built first if there is none."""
        image = await self._images.ensure(self._environment(version))
        return await self._engine.call(self._run, image, version, features, limits)

    async def prepare(self, version: Version, python: Path | None) -> None:
        """Build its image where there is none."""
        await self._images.ensure(self._environment(version))

    def progress(self, version: Version) -> str | None:
        """How far the build of its image is."""
        return self._images.progress(self._environment(version))

    def _environment(self, version: Version) -> Environment:
        return environment_of(version, self._options.base_image)

    def _run(
        self, image: str, version: Version, features: tuple[str, ...], limits: Limits
    ) -> DockerReplica:
        if self._options.network == NO_NETWORK:
            return self._start(None, image, version, features, limits)
        with NETWORKS:
            network = self._network(self._engine.client())
            return self._start(network, image, version, features, limits)

    def _start(
        self, network: str | None, image: str, version: Version, features: tuple[str, ...],
        limits: Limits,
    ) -> DockerReplica:  # fmt: skip
        client, user = self._engine.client(), os.geteuid() or NOBODY
        group = os.getegid() if os.geteuid() else NOBODY
        folder = None if network is not None else Path(tempfile.mkdtemp(prefix="leadsman-"))
        if folder is not None and os.geteuid() == 0:
            os.chown(folder, user, group)
        if os.geteuid() == 0:
            _let_read(version.artefact.resolve())
        mounts = [_mount(f"/artefact/{version.artefact.name}", version.artefact.resolve())]
        listen = f"tcp://0.0.0.0:{PORT}"
        if folder is not None:
            mounts.append(_mount(SHARED, folder, read_only=False))
            listen = f"{SHARED}/replica.sock"
        container = None
        try:
            container = client.containers.create(
                image, _command(version, features, listen), name=self._name(version),
                labels=self._labels | {VERSION: version.ref, DIGEST: version.digest},
                mounts=mounts, network=network or NO_NETWORK, user=f"{user}:{group}",
                read_only=True, tmpfs={"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},
                cap_drop=["ALL"], security_opt=["no-new-privileges"],
                # Also reaps what the model forks and forgets.
                pids_limit=self._options.tasks, init=True,
                healthcheck=_health(listen), environment=_variables(limits),
                # The engine drops the old file when a new one is full: a model may print for ever.
                log_config=LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
                restart_policy={"Name": "no"}, **_bounds(limits),
            )  # fmt: skip
            container.start()
        except BaseException:
            if container is not None:
                container.remove(force=True)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if network is not None:
                remove_empty(client, network)
            raise
        replica = DockerReplica(self._engine, container, limits, folder=folder, network=network)
        replica.look()
        return replica

    @property
    def _labels(self) -> dict[str, str]:
        return {OWNER: self._owner, LIFE: self._life}

    def _name(self, version: Version) -> str:
        self._started += 1
        safe = "".join(c if c.isalnum() else "-" for c in version.ref)
        return f"leadsman-{safe}-{self._owner[:8]}-{os.getpid()}-{self._started}"

    def _network(self, client: Any) -> str:
        """The network that was asked for, made if it is our own."""
        if self._options.network != OWN_NETWORK:
            return self._options.network
        return make(client, self._owner)

    async def find(self) -> list[Replica]:
        """Containers with our label that an earlier process started."""
        return await self._engine.call(self._find)

    def _find(self) -> list[Replica]:
        found = self._engine.client().containers.list(
            all=True, ignore_removed=True, filters={"label": f"{OWNER}={self._owner}"}
        )
        left = [one for one in found if one.labels.get(LIFE) != self._life]
        return [
            DockerReplica(
                self._engine, one, UNLIMITED, folder=_folder_of(one),
                network=None if _folder_of(one) else name_of(self._owner),
            )
            for one in left
        ]  # fmt: skip


def _folder_of(container: Any) -> Path | None:
    """The folder that was shared with a container."""
    for mount in container.attrs.get("Mounts", ()):
        if mount.get("Destination") == SHARED:
            return Path(mount["Source"])
    return None


def _command(version: Version, features: tuple[str, ...], listen: str) -> list[str]:
    return [
        "--artefact", f"/artefact/{version.artefact.name}", *model_options(version),
        "--features", json.dumps(features), "--listen", listen, "--linger", str(LINGER),
    ]  # fmt: skip


def _mount(target: str, source: Path, *, read_only: bool = True) -> Mount:
    return Mount(target, str(source), type="bind", read_only=read_only)


def _health(listen: str) -> Healthcheck:
    """Only told, never acted on: whether it is replaced is decided by the answers it owes."""
    second = 10**9
    command = [
        "CMD",
        "python",
        "-m",
        "serving.replica.probe",
        listen.replace("0.0.0.0", "127.0.0.1"),
    ]
    return Healthcheck(
        test=command, interval=15 * second, timeout=10 * second, start_period=60 * second, retries=3
    )


def _variables(limits: Limits) -> dict[str, str]:
    threads = str(math.ceil(limits.cpu)) if limits.cpu is not None else "1"
    return dict.fromkeys(THREADS, threads)


def _bounds(limits: Limits) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if limits.cpu is not None:
        bounds["nano_cpus"] = int(limits.cpu * 1e9)
    if limits.memory_mb is not None:
        # The same for both together: none of it may be swapped out instead.
        bounds["mem_limit"] = bounds["memswap_limit"] = limits.memory_mb * 1024 * 1024
    return bounds


def _let_read(artefact: Path) -> None:
    """Let the container's user read what root has stored; the folder above stays closed."""
    for path in [artefact, *artefact.rglob("*")] if artefact.is_dir() else [artefact]:
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (0o055 if path.is_dir() else 0o044)
        if mode != wanted:
            path.chmod(wanted)
