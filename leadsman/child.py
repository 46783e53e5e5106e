"""One supervised process: started, watched, restarted with growing pauses, stopped."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
"""Seconds before a restart: doubled with each one, and the first again after a long run."""

LONG_RUN = 30.0
"""Seconds after which a process counts as healthy."""

LOG_LIMIT = 10 * 2**20
"""Bytes after which a start puts the old log aside, keeping one."""

PR_SET_PDEATHSIG = 1


class Child:
    """A part of the service in a process of its own.

    Parameters
    ----------
    name
        Module to run.
    logs
        Folder of the log; made if absent.
    called
        What people know it by, and its log; as the module where it is the only one.
    environment
        Variables of the process.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        logs: Path,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        *,
        called: str | None = None,
    ) -> None:
        self.name = name
        self.called = called or name
        self._log = logs / f"{self.called}.log"
        self.environment = dict(environment)
        """Variables of the next start."""
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause = FIRST_PAUSE
        self._start_again_at: float | None = None
        self.ends = 0
        """How often the process ended by itself."""

    @property
    def pid(self) -> int | None:
        """Its process, None before the first start."""
        return self._process.pid if self._process else None

    def listens(self, port: int) -> bool:
        """Whether the process, or one that it started, listens on a port."""
        # One that ends meanwhile does not.
        with suppress(psutil.Error):
            own = psutil.Process(self.pid)
            return any(
                one.status == psutil.CONN_LISTEN and one.laddr.port == port
                for process in (own, *own.children(recursive=True))
                for one in process.net_connections("tcp")
            )
        return False

    def start(self) -> None:
        """Start the process; its output goes to the log."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT:
            self._log.rename(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                # A Ctrl-C at the terminal is for the supervisor alone, which stops us in order.
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (one thread here)
            )
        self._started_at = self._clock()
        self._start_again_at = None

    def look(self) -> str | None:
        """Restart the process if it ended and its pause is over; return a line to tell, if any."""
        if self._process is None or self._process.poll() is None:
            return None
        now = self._clock()
        if self._start_again_at is None:
            if now - self._started_at > LONG_RUN:
                self._pause = FIRST_PAUSE
            self._start_again_at = now + self._pause
            self.ends += 1
            line = f"{self.called} ended ({_ending(self._process.returncode)})"
            line += f"; starting it again in {self._pause:.1f} s, log: {self._log}"
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return line
        if now >= self._start_again_at:
            self.start()
        return None

    def ask_to_stop(self) -> None:
        """Ask the process to finish."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end; after `seconds` enforce it."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # What it started in groups of their own ends with it or by its closed sockets.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self) -> str:
        """Return the last line of the log that says anything."""
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1][-300:] if lines else ""
        return ""


def _ending(code: int) -> str:
    """Say how a process ended."""
    if code < 0:
        with suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"status {code}"


def _end_with_parent() -> None:
    """Ask the kernel to end this process with its parent, also one that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
