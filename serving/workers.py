"""Several serving processes behind one port: started, watched, started again, stopped together.

Each worker has a socket of its own on the shared port (`SO_REUSEPORT`), and the kernel gives each
new connection to one of them. A worker that was killed takes its socket with it, so that new
connections go to the others at once; it listens again when its routes are warm.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType

from serving.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a worker is started again: doubled each time, the first again after a long run."""
LONG_RUN = 30.0
"""Seconds after which a worker counts as healthy."""
MOST_ENDS = 5
"""Workers that end so often in a row, before any has run for long, have a reason that stays."""
LOOK = 0.1
"""Seconds between two looks at the workers."""
STOP_SECONDS = 45.0
"""Longest time that workers get to finish what they began."""

log = logging.getLogger("serving.workers")


@dataclass(slots=True)
class _Worker:
    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE
    ends: int = 0
    """How often it ended in a row, each time before it had run for long."""


class Workers:
    """Keeps the workers of one data folder running until told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._workers = [_Worker(number) for number in range(1, settings.workers + 1)]
        self._healthy = False
        """Whether any worker has run for long."""

    def run(self) -> int:
        """Supervise; the exit status is 0 where it was told to stop."""
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._stop)
        # Bound and not listening: it holds the port while workers come and go, and takes nothing.
        with listener(self._settings.host, self._settings.port) as held:
            port = held.getsockname()[1]
            log.info("workers_started count=%d port=%d", len(self._workers), port)
            try:
                while not self._stopping.wait(LOOK):
                    for worker in self._workers:
                        self._look_after(worker, port)
                    if not self._healthy and any(w.ends >= MOST_ENDS for w in self._workers):
                        log.error("workers_given_up ends=%d", MOST_ENDS)
                        return 1
            finally:
                self._end()
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _look_after(self, worker: _Worker, port: int) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.start_at:
                self._start(worker, port)
            return
        status = worker.process.poll()
        if status is None:
            if now - worker.started_at > LONG_RUN:
                self._healthy, worker.ends, worker.pause = True, 0, FIRST_PAUSE
            return
        worker.process = None
        worker.ends += 1
        worker.start_at = now + worker.pause
        log.warning(
            "worker_ended worker=%d status=%d again_in=%.1f", worker.number, status, worker.pause
        )
        worker.pause = min(2 * worker.pause, LONGEST_PAUSE)

    def _start(self, worker: _Worker, port: int) -> None:
        own = {"SERVING_WORKER": str(worker.number), "SERVING_PORT": str(port)}
        shared = {"SERVING_WORKERS": str(len(self._workers))}
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--parent", str(os.getpid())],
            env=os.environ | shared | own,
            stdin=subprocess.DEVNULL,
            # A Ctrl-C at the terminal is for this process, which stops them in order.
            start_new_session=True,
        )
        worker.started_at = time.monotonic()

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listener(host: str, port: int) -> socket.socket:
    """A socket on a port that several processes share; it takes nothing before it listens.

    Raises
    ------
    OSError
        If a program that does not share has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.set_inheritable(False)
    except OSError:
        made.close()
        raise
    return made
