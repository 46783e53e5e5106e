"""Replicas as containers of a Docker Engine, on the machine of this process.

A container has no network at all unless asked: frames go over a Unix socket in a folder that only
this replica shares with us. Its root and its artefact are read-only, it has no capability, cannot
gain privileges, and runs as the owner of this process, or as nobody where that is root. Memory and
processors are bounded by the kernel, its log by the engine. The engine never restarts it: that is
the supervisor's, who knows what was in flight.

What a killed process leaves behind ends by itself after `LINGER`, and is found by its labels and
ended at the next start.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import socket
import stat
import tempfile
import threading
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from docker.errors import APIError, NotFound
from docker.types import Healthcheck, LogConfig, Mount

from serving.launchers.base import (
    LAST_WORDS_BYTES,
    THREADS,
    UNLIMITED,
    LauncherUnavailableError,
    Limits,
    Replica,
    StartRefusedError,
    memory_verdict,
    model_options,
    tasks_verdict,
)
from serving.launchers.engine import Engine
from serving.launchers.environments import Environment, environment_of
from serving.launchers.images import Images
from serving.launchers.options import NO_NETWORK, OWN_NETWORK, DockerOptions
from serving.records import Version

OWNER = "dev.leadsman.owner"
"""Label: which serving process it belongs to."""
LIFE = "dev.leadsman.life"
"""Label: which life of that process started it."""
VERSION = "dev.leadsman.version"
DIGEST = "dev.leadsman.digest"

REFUSED_A_TASK = ("Resource temporarily unavailable", "can't start new thread")
"""What is written where the kernel refused a process or a thread."""
LINGER = 30
"""Seconds after which a container without a front ends by itself."""
PORT = 7700
"""Where it listens in a network."""
NOBODY = 65534
SHARED = "/run/leadsman"
"""The shared folder, as the container sees it."""
SIGKILL = 9
FIRST_SIGNAL_STATUS = 128
"""Exit statuses above this are of signals."""

_NETWORKS = threading.Lock()
"""Held from the look at a network to the start of a container in it: meanwhile the end of the last
container must not take it away."""

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
                await self._engine.call(self._look)
        return self._status

    def _look(self) -> None:
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
            with _NETWORKS:
                _remove_empty(self._engine.client(), self._network)

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
        with _NETWORKS:
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
                _remove_empty(client, network)
            raise
        replica = DockerReplica(self._engine, container, limits, folder=folder, network=network)
        replica._look()
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
        name = f"leadsman-{self._owner}"
        if not client.networks.list(names=[f"^{name}$"]):
            # Without a way out: a model has no business with the world.
            client.networks.create(name, internal=True, labels={OWNER: self._owner})
        return name

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
                network=None if _folder_of(one) else f"leadsman-{self._owner}",
            )
            for one in left
        ]  # fmt: skip


def _remove_empty(client: Any, name: str) -> None:
    """Remove a network of ours that no container is in."""
    for network in client.networks.list(names=[f"^{name}$"], filters={"label": OWNER}):
        with contextlib.suppress(NotFound, APIError):
            network.remove()


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
