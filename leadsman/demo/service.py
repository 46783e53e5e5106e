"""The service that the demo plays on: `leadsman up` in a process of its own, on a fresh folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from leadsman.connection import Connection
from leadsman.embedded_postgres import EmbeddedPostgres
from leadsman.errors import ChildFailedError, CommandError

MARK = "demo"
"""File by which the demo knows a folder that it may throw away."""

START_TIMEOUT = 120.0
STOP_TIMEOUT = 60.0


class Service:
    """A running `leadsman up`.

    Parameters
    ----------
    data_dir
        Made afresh; it may hold an earlier demo, nothing else.
    port, monitor_port
        A free one where none is given.
    settings
        Variables of the service beyond the usual ones.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None,
        monitor_port: int | None,
        settings: Mapping[str, str],
    ) -> None:
        self.data_dir = data_dir
        self.port = port or _free_port(8000)
        self.monitor_port = monitor_port or _free_port(8001, besides=self.port)
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection(self) -> Connection:
        """Addresses and admin key."""
        key = (self.data_dir / "admin_key").read_text().strip()
        host = "http://127.0.0.1"
        return Connection(f"{host}:{self.port}", f"{host}:{self.monitor_port}", key)

    @property
    def pid(self) -> int:
        """Process of `leadsman up`; every part is a descendant of it."""
        if self._process is None:
            raise CommandError("the service was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises
        ------
        ChildFailedError
            If it does not come up; the error carries its last words.
        """
        clear(self.data_dir)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SERVING_", "MONITOR_", "LEADSMAN_"))
        }
        command = [sys.executable, "-m", "leadsman", "up", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), "--monitor-port", str(self.monitor_port)]
        log = self.data_dir / "up.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited | self._settings,
                start_new_session=True,
            )
        began = time.monotonic()
        while not (self.data_dir / "addresses.json").exists():
            waited = time.monotonic() - began
            if self._process.poll() is not None or waited > START_TIMEOUT:
                words = log.read_text(errors="replace").strip().splitlines()
                raise ChildFailedError("the service", waited, words[-1] if words else "")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop everything that was started."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def clear(data_dir: Path) -> None:
    """Make the folder afresh; refuse one that holds anything but an earlier demo."""
    if data_dir.exists() and any(data_dir.iterdir()):
        if not (data_dir / MARK).exists():
            raise CommandError(f"{data_dir} is not empty and holds no earlier demo; choose another")
        # A killed demo may have left its server running: start and stop ends it in order.
        if (data_dir / "postgres" / "cluster" / "postmaster.pid").exists():
            leftover = EmbeddedPostgres(data_dir / "postgres")
            with suppress(OSError):
                leftover.start()
            leftover.stop()
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / MARK).touch()


def _free_port(wanted: int, besides: int | None = None) -> int:
    for candidate in (wanted, 0):
        if candidate == besides:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", candidate))
            return int(probe.getsockname()[1])
    raise CommandError("no port is free on 127.0.0.1")
