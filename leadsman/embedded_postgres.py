"""A Postgres server of our own: made, started, found again after a crash, and stopped.

The data folder holds `cluster` (Postgres' own), `password`, `port`, `server.log` and `lock`.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from leadsman.postgres_binaries import (
    EmbeddedPostgresError,
    PostgresBinariesError,
    drop_privileges,
    runnable_bin_dir,
)

__all__ = [
    "DataDirInUseError",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "PortTakenError",
    "PostgresBinariesError",
]

SUPERUSER = "app"
DATABASE = "postgres"
LOG_LIMIT = 10 * 2**20
"""Bytes after which a start puts the old log aside, keeping one."""


class DataDirInUseError(EmbeddedPostgresError):
    """Another process runs a server on the same data folder."""


class PortTakenError(EmbeddedPostgresError):
    """The port that was asked for is another program's."""


class EmbeddedPostgres:
    """One server, the direct child of this process.

    It listens on 127.0.0.1 alone, with a password, and has no Unix socket. It outlives a killed
    owner; the next owner's `start` stops it in an orderly way and starts afresh. Methods block.

    Parameters
    ----------
    data_dir
        Made if absent. Its path may hold spaces and lie below folders closed to the server's user.
    bin_dir
        Folder of `postgres` and `initdb`, version 15 or newer; the wheel's by default.
    port
        A free one by default, kept for the next start where it is still free then.
    user
        Whom the server runs as if we are root; nobody by default.
    options
        Server settings beyond the defaults.
    start_timeout
        How long a start may take, recovery after a crash included.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        bin_dir: Path | None = None,
        port: int | None = None,
        user: str | None = None,
        options: Mapping[str, str] | None = None,
        start_timeout: timedelta = timedelta(minutes=2),
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._cluster = self.data_dir / "cluster"
        self._bin_dir = bin_dir
        self._fixed_port = port
        self._privileges = drop_privileges(user)
        self._options = dict(options or {})
        self._start_timeout = start_timeout.total_seconds()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process of the server, None before the first start."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Start the server, making the cluster first if there is none.

        Returns
        -------
        str
            URL of its database, password included.

        Raises
        ------
        DataDirInUseError
            If another process holds the data folder.
        PortTakenError
            If the port that was asked for is taken.
        EmbeddedPostgresError
            If the server does not come up; the error carries its last words.
        """
        self._claim()
        try:
            binaries = runnable_bin_dir(self._bin_dir, self._privileges)
            if not self._cluster.exists():
                self._initialise(binaries)
            self._clear_leftovers()
            port = self._start_on_a_port(binaries)
        except BaseException:
            self._end(timedelta(seconds=5))
            self._release()
            raise
        password = (self.data_dir / "password").read_text()
        return f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{port}/{DATABASE}"

    def poll(self) -> int | None:
        """Exit code of the server, None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self, grace: timedelta = timedelta(seconds=30)) -> None:
        """Stop the server and give the data folder free; without effect if it is not running.

        Open transactions are rolled back. After `grace` it is stopped the hard way, which costs
        nothing but the recovery at the next start.
        """
        self._end(grace)
        self._release()

    def _claim(self) -> None:
        if self._process is not None and self._process.poll() is None:
            raise EmbeddedPostgresError(f"the server on {self.data_dir} is running already")
        if self._lock is not None:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            # The kernel drops the lock with its holder, however that one ends; the server does not
            # inherit it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode() or "another process"
            os.close(lock)
            raise DataDirInUseError(
                f"{self.data_dir} is in use by process {owner}: only one may run its server"
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def _folder_for(self, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a program is told to call a folder, and how it is to be run for that.

        A server of another user may not be able to walk down to its folder. Given it as an open
        descriptor, it can name it without the walk. Only Linux has such names.
        """
        if not (self._privileges and sys.platform == "linux"):
            yield str(folder), {"cwd": "/"}
            return
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            how = {"cwd": "/", "pass_fds": (descriptor,), **self._privileges}
            yield f"/proc/self/fd/{descriptor}", how
        finally:
            os.close(descriptor)

    def _initialise(self, binaries: Path) -> None:
        # Made under another name, so that a cluster is there in full or not at all.
        scratch = self.data_dir / "cluster.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        reading, writing = os.pipe()
        if self._privileges:
            os.chown(scratch, self._privileges["user"], self._privileges["group"])
            os.fchown(reading, self._privileges["user"], self._privileges["group"])
        os.write(writing, password.encode())
        os.close(writing)
        with self._folder_for(scratch) as (name, how), os.fdopen(reading) as source:
            done = subprocess.run(
                [
                    str(binaries / "initdb"),
                    *("-D", name, "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
                    *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
                    "--pwfile=/dev/stdin",
                    *(["--no-sync"] if self._options.get("fsync") == "off" else []),
                ],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                **how,
            )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"no cluster could be made: {done.stdout.strip()[-2000:]}")
        self._write_private("password", password)
        scratch.rename(self._cluster)

    def _write_private(self, name: str, text: str) -> None:
        scratch = self.data_dir / f"{name}.new"
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        scratch.rename(self.data_dir / name)

    def _clear_leftovers(self) -> None:
        """End what a killed owner left running, and take away the mark of a dead server."""
        mark = self._cluster / "postmaster.pid"
        if not mark.exists():
            return
        for sent in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            running = self._running_here()
            for process in running:
                # The first server process ends the others; asked one by one they would be
                # restarted by it.
                if sent is not signal.SIGINT or process.pid == self._marked_pid():
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(sent)
            psutil.wait_procs(running, timeout=10)
        # Postgres takes any live process of that number, even one not yet buried, for a server,
        # and refuses to start. We hold the lock and have seen that none is left.
        mark.unlink(missing_ok=True)

    def _marked_pid(self) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            return int((self._cluster / "postmaster.pid").read_text().splitlines()[0])
        return None

    def _running_here(self) -> list[psutil.Process]:
        """Processes that stand in the cluster's folder, as all of a server's do."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).samefile(
                    self._cluster
                ):
                    found.append(process)
        return found

    def _start_on_a_port(self, binaries: Path) -> int:
        for attempt in range(5):
            port = self._choose_port(remembered=attempt == 0)
            if self._launch(binaries, port):
                self._write_private("port", str(port))
                return port
            last_words = self._last_words()
            if "could not bind" not in last_words and "still in use" not in last_words:
                break
            if self._fixed_port is not None and "could not bind" in last_words:
                raise PortTakenError(f"port {port} is taken by another program")
            # Processes of the server before may need a moment to let go of its memory.
            time.sleep(0.5)
        raise EmbeddedPostgresError(
            f"the server on {self.data_dir} did not come up; its last words: {last_words}"
        )

    def _choose_port(self, *, remembered: bool) -> int:
        if self._fixed_port is not None:
            return self._fixed_port
        candidates = [0]
        if remembered:
            with suppress(OSError, ValueError):
                candidates.insert(0, int((self.data_dir / "port").read_text()))
        for candidate in candidates:
            with socket.socket() as probe, suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", candidate))
                return int(probe.getsockname()[1])
        raise EmbeddedPostgresError("no port is free on 127.0.0.1")

    def _launch(self, binaries: Path, port: int) -> bool:
        """Start the server and wait until it takes connections; False if it ended instead."""
        log = self.data_dir / "server.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.rename(log.with_suffix(".log.1"))
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            **self._options,
        }
        chosen = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        with self._folder_for(self._cluster) as (name, how), log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", name, *chosen],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for us alone: we stop the server after its clients.
                start_new_session=True,
                **how,
            )
        until = time.monotonic() + self._start_timeout
        while self._process.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > until:
                raise EmbeddedPostgresError(
                    f"the server on {self.data_dir} was not ready after {self._start_timeout:g} s;"
                    f" its last words: {self._last_words()}"
                )
            time.sleep(0.02)
        return False

    def _is_ready(self) -> bool:
        with suppress(OSError):
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return False

    def _last_words(self) -> str:
        with (self.data_dir / "server.log").open("rb") as log:
            log.seek(self._log_start)
            return log.read()[-2000:].decode(errors="replace").strip()

    def _end(self, grace: timedelta) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        for sent, seconds in (
            (signal.SIGINT, grace.total_seconds()),
            (signal.SIGQUIT, 5.0),
            (signal.SIGKILL, None),
        ):
            process.send_signal(sent)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return
