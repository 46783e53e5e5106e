"""Replicas as child processes of this one.

What holds of their limits: memory is bounded by the kernel (`RLIMIT_DATA`: heap and anonymous maps
that the process writes), so that a model which wants more gets a MemoryError or ends, and no
neighbour does. Processors are bounded by affinity, in whole ones: a replica with `cpu` 1.5 runs on
two, and starts as many threads in the numeric libraries. Processes are counted (`task_watch`).
"""

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil

import serving.replica
from serving.launchers.base import (
    LAST_WORDS_BYTES,
    THREADS,
    UNLIMITED,
    Limits,
    Replica,
    memory_verdict,
    model_options,
    tasks_verdict,
)
from serving.launchers.environment_store import EnvironmentStore
from serving.launchers.options import TASKS
from serving.launchers.task_watch import NAME, Root, TaskWatch, end_all
from serving.records import Version

log = logging.getLogger("serving.launchers")

LOG_LIMIT = 1024 * 1024
"""Bytes of standard error at which all but the end is dropped: a model may print for ever."""
LOG_TAIL = 64 * 1024
"""Bytes of the end that stay then."""
TRIM_INTERVAL = 0.2
"""Seconds between two looks at the sizes of the logs."""

LOGS_KEPT = 32
"""Files of standard error kept; a replica that dies for ever must not fill the disk with them."""

OWN_VARIABLES = ("SERVING_", "MONITOR_", "LEADSMAN_", "PG", "PYTHON")
"""Beginnings of variables that a replica does not inherit: a model has no business with our keys
and passwords, and another interpreter none with our module path."""

OWNER = "REPLICA_OF"
"""Variable by which what an earlier process of the same folder left behind is found: also what a
model started itself has it."""
LIFE = "REPLICA_LIFE"
"""Variable by which replicas of this process are told from those of an earlier one."""

OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory")
"""What is written where memory was refused."""


class ProcessReplica:
    """A child process in a process group of its own."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        address: str,
        log: Path,
        folder: Path,
        *,
        watch: TaskWatch,
        mark: str,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._process = process
        self._root = Root.of(process.pid, mark)
        self._watch = watch
        self._tasks = 0
        self._log = log
        self._folder = folder
        self._limits = limits
        self._killed = False
        self._address = address
        self.pid = process.pid
        self.name = f"process {process.pid}"
        watch.add(self._root, self._has_too_many)

    def _has_too_many(self, count: int) -> None:
        self._tasks = count

    async def address(self) -> str:
        """Path of its socket, which listens from the start."""
        return self._address

    async def poll(self) -> int | None:
        """Exit status; None while it runs."""
        return self.status()

    def status(self) -> int | None:
        """As `poll`: nobody needs to be waited for."""
        status = self._process.poll()
        if status is not None:
            self._watch.remove(self._root)
            shutil.rmtree(self._folder, ignore_errors=True)
        return status

    async def stop(self, grace: timedelta) -> None:
        """Ask it to end, wait for `grace`, then kill what is left of its group."""
        if self.status() is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._wait, grace.total_seconds())
        self.kill()
        await asyncio.to_thread(self._end_what_it_started)
        self.status()

    def _end_what_it_started(self) -> None:
        """Wait for the end, and end what the model took out of the group."""
        self._process.wait()
        end_all(self._root)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the group: also what the model started itself."""
        self._killed = self._killed or self._process.poll() is None
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # Everything in the group has ended and been waited for.
            return

    def last_words(self) -> str:
        """The end of its standard error, and what ended it where the process could not say."""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LAST_WORDS_BYTES))
            words = log.read().decode(errors="replace").strip()
        return "\n".join(filter(None, (words, self._verdict(words))))

    def _verdict(self, words: str) -> str:
        if self._tasks:
            return tasks_verdict(self._watch.limit)
        limit = self._limits.memory_mb
        if limit is not None and any(sign in words for sign in OUT_OF_MEMORY):
            return memory_verdict(limit)
        if self._process.poll() == -signal.SIGKILL and not self._killed:
            return "(It was killed by SIGKILL, as the kernel does where memory runs out.)"
        return ""

    def trim(self) -> None:
        """Drop all but the end of a log that has grown too long."""
        with contextlib.suppress(FileNotFoundError), self._log.open("r+b") as log:
            size = log.seek(0, os.SEEK_END)
            if size <= LOG_LIMIT:
                return
            log.seek(size - LOG_TAIL)
            tail = log.read(LOG_TAIL)
            # The replica appends, so that what it writes after this lands behind it.
            log.truncate(0)
            log.seek(0)
            log.write(tail)


class LeftProcess:
    """A process of an earlier life, which is no child of this one."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.name = f"process {process.pid}"

    async def address(self) -> None:
        """Nowhere: its front has gone."""

    async def poll(self) -> int | None:
        """What a process that is no child ended with is nobody's to know."""
        gone = not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        return -signal.SIGKILL if gone else None

    async def stop(self, grace: timedelta) -> None:
        """Ask it to end, wait for `grace`, then kill it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, grace.total_seconds())
            except psutil.TimeoutExpired:
                self.kill()
                await asyncio.to_thread(self._process.wait, 5)

    def kill(self) -> None:
        """Kill it; what it started is found by itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.kill()

    def last_words(self) -> str:
        """None that could be told from its replica's."""
        return ""


class ProcessLauncher:
    """Starts `python -m serving.replica` as a child."""

    def __init__(
        self, folder: Path, *, niceness: int = 0, tasks: int = TASKS,
        environments: EnvironmentStore | None = None,
    ) -> None:  # fmt: skip
        """Make a launcher.

        Parameters
        ----------
        niceness
            By how much replicas give way to this process, which has deadlines to keep: 0 to 19.
        tasks
            Processes and threads of one replica at most.
        environments
            Of versions that state their requirements; in the folder by default.
        """
        self.environments = environments or EnvironmentStore(folder / "environments")
        """Builds what versions need."""
        self._folder = folder.resolve()
        self._niceness = niceness
        self._watch = TaskWatch(tasks)
        self._home = self._folder / "home"
        self._life = uuid4().hex
        self._started = 0
        self._running: list[ProcessReplica] = []
        self._trimming: asyncio.TimerHandle | None = None
        self._places = itertools.cycle(sorted(os.sched_getaffinity(0)))

    async def start(
        self,
        version: Version,
        *,
        python: Path | None,
        features: tuple[str, ...],
        limits: Limits = UNLIMITED,
    ) -> ProcessReplica:
        """Start a replica on a socket that listens already, so that nobody waits for a file."""
        python = await self.environments.python(version, python)
        self._prepare()
        self._started += 1
        name = "".join(c if c.isalnum() else "-" for c in version.ref)
        log = self._folder / f"{name}-{self._started % LOGS_KEPT}.log"
        # A Unix socket's path holds 107 bytes; a data folder may lie deeper than that.
        folder = Path(tempfile.mkdtemp(prefix="leadsman-"))
        address = str(folder / "replica.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen(1)
            command = self._command(version, python, features, listener.fileno())
            mark = f"{self._life}-{self._started}"
            process = self._spawn(command, log, listener.fileno(), limits, mark)
        self._bound(process.pid, limits)
        replica = ProcessReplica(
            process, address, log, folder, watch=self._watch, mark=mark, limits=limits
        )
        self._running.append(replica)
        if self._trimming is None:
            self._look_at_logs()
        return replica

    async def prepare(self, version: Version, python: Path | None) -> None:
        """Build its environment where it needs one of its own."""
        await self.environments.python(version, python)

    def progress(self, version: Version) -> str | None:
        """How far the build of its environment is."""
        return self.environments.progress(version)

    def _spawn(
        self, command: list[str], log: Path, fd: int, limits: Limits, mark: str
    ) -> subprocess.Popen[bytes]:
        log.unlink(missing_ok=True)
        with log.open("ab") as words:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, cwd=self._home,
                env=self._environment(limits) | {NAME: mark}, pass_fds=(fd,),
                start_new_session=True,
            )  # fmt: skip

    def _bound(self, pid: int, limits: Limits) -> None:
        """Hold a process to its limits. It is still loading the interpreter, far below them."""
        # One that has ended already needs no limits; its own words say why it did.
        with contextlib.suppress(ProcessLookupError):
            if self._niceness:
                own = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, pid, min(19, own + self._niceness))
            if limits.memory_mb is not None:
                most = limits.memory_mb * 1024 * 1024
                resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
            if limits.cpu is not None:
                available = len(os.sched_getaffinity(0))
                count = min(math.ceil(limits.cpu), available)
                os.sched_setaffinity(pid, set(itertools.islice(self._places, count)))

    def _look_at_logs(self) -> None:
        """Trim what grew too long, as long as replicas run."""
        self._running = [one for one in self._running if one.status() is None]
        self._trimming = None
        if self._running:
            loop = asyncio.get_running_loop()
            self._trimming = loop.call_later(TRIM_INTERVAL, self._look_at_logs)
        for one in self._running:
            try:
                one.trim()
            except OSError as error:
                # Descriptors or room on the disk ran out for now: it is tried again.
                log.warning("log_not_trimmed error=%r", error)

    def _command(
        self, version: Version, python: Path | None, features: tuple[str, ...], fd: int
    ) -> list[str]:
        return [
            str(python or sys.executable), "-m", "serving.replica",
            "--artefact", str(version.artefact.resolve()), *model_options(version),
            "--features", json.dumps(features), "--socket-fd", str(fd),
            "--parent", str(os.getpid()),
        ]  # fmt: skip

    def _prepare(self) -> None:
        """Lay out the folder that replicas start in: the replica's package, nothing else of ours.

        The model's interpreter may be another one; it sees this package by way of its working
        folder, and none of the service's dependencies.
        """
        package = self._home / "serving"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        link = package / "replica"
        target = Path(serving.replica.__file__).parent
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)

    def _environment(self, limits: Limits) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)
        }
        threads = str(math.ceil(limits.cpu)) if limits.cpu is not None else "1"
        own = {
            OWNER: str(self._folder), LIFE: self._life,
            # An artefact's folder stays as it was registered.
            "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        return {**kept, **dict.fromkeys(THREADS, threads), **own}

    async def find(self) -> list[Replica]:
        """Processes that replicas of an earlier life left: these themselves die with their parent,
        what a model started does not."""
        return await asyncio.to_thread(self._find)

    def _find(self) -> list[Replica]:
        return [
            LeftProcess(process)
            for process in _with_variable(OWNER, str(self._folder), without=(LIFE, self._life))
        ]


def _with_variable(
    name: str, value: str, *, without: tuple[str, str] | None = None
) -> list[psutil.Process]:
    """Other processes of this machine in whose environment a variable has a value."""
    found = []
    for process in psutil.process_iter():
        # A process may end, or be somebody else's, while it is looked at.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            variables = process.environ()
            if process.pid == os.getpid() or variables.get(name) != value:
                continue
            if without is None or variables.get(without[0]) != without[1]:
                found.append(process)
    return found
