"""Replicas as child processes of this one."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import serving.replica
from serving.records import Version

LAST_WORDS_BYTES = 4096
"""How much of the end of standard error is told."""

LOGS_KEPT = 32
"""Files of standard error kept; a replica that dies for ever must not fill the disk with them."""

OWN_VARIABLES = ("SERVING_", "MONITOR_", "LEADSMAN_", "PG", "PYTHON")
"""Beginnings of variables that a replica does not inherit: a model has no business with our keys
and passwords, and another interpreter none with our module path."""

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""Small batches lose more to waking threads than they gain, and replicas share the cores."""


class ProcessReplica:
    """A child process in a process group of its own."""

    def __init__(
        self, process: subprocess.Popen[bytes], address: str, log: Path, folder: Path
    ) -> None:
        self._process = process
        self._log = log
        self._folder = folder
        self.address = address
        self.pid = process.pid

    def poll(self) -> int | None:
        """Exit status; None while it runs."""
        status = self._process.poll()
        if status is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        return status

    async def stop(self, grace: timedelta) -> None:
        """Ask it to end, wait for `grace`, then kill what is left of its group."""
        if self.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._wait, grace.total_seconds())
        self.kill()
        await asyncio.to_thread(self._process.wait)
        self.poll()

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the group: also what the model started itself."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            # Everything in the group has ended and been waited for.
            return

    def last_words(self) -> str:
        """The end of its standard error."""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - LAST_WORDS_BYTES))
            return log.read().decode(errors="replace").strip()


class ProcessLauncher:
    """Starts `python -m serving.replica` as a child."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._home = self._folder / "home"
        self._started = 0

    async def start(
        self, version: Version, *, python: Path | None, features: tuple[str, ...]
    ) -> ProcessReplica:
        """Start a replica on a socket that listens already, so that nobody waits for a file."""
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
            process = self._spawn(command, log, listener.fileno())
        return ProcessReplica(process, address, log, folder)

    def _spawn(self, command: list[str], log: Path, fd: int) -> subprocess.Popen[bytes]:
        with log.open("wb") as words:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, cwd=self._home,
                env=_environment(), pass_fds=(fd,), start_new_session=True,
            )  # fmt: skip

    def _command(
        self, version: Version, python: Path | None, features: tuple[str, ...], fd: int
    ) -> list[str]:
        command = [
            str(python or sys.executable), "-m", "serving.replica",
            "--artefact", str(version.artefact.resolve()), "--framework", version.framework,
            "--features", json.dumps(features), "--socket-fd", str(fd),
            "--parent", str(os.getpid()),
        ]  # fmt: skip
        entry = version.manifest.get("entry")
        return command if entry is None else [*command, "--entry", entry]

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


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    return {**kept, **ONE_THREAD, "PYTHONUNBUFFERED": "1"}
