"""`leadsman up` for tests: a real one, on a folder and ports of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from leadsman.connection import Connection

READY_WITHIN = 60.0
"""Seconds: far more than promised, since test machines are busy."""


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's variables without any that are about a service."""
    ours = ("SERVING_", "MONITOR_", "LEADSMAN_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | dict(extra or {})


@dataclass(slots=True)
class RunningUp:
    """A running `leadsman up`."""

    data_dir: Path
    port: int
    monitor_port: int
    process: subprocess.Popen[str]

    @property
    def connection(self) -> Connection:
        """Addresses and admin key."""
        key = (self.data_dir / "admin_key").read_text().strip()
        host = "http://127.0.0.1"
        return Connection(f"{host}:{self.port}", f"{host}:{self.monitor_port}", key)

    @property
    def database_url(self) -> str:
        """The record."""
        return (self.data_dir / "database_url").read_text().strip()

    def children(self) -> list[psutil.Process]:
        """Return every process that it started, and those that they started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, *words: str) -> psutil.Process:
        """Return the first descendant whose command line holds all words."""
        for one in self.children():
            try:
                line = " ".join(one.cmdline())
            except psutil.Error:
                continue
            if all(word in line for word in words):
                return one
        raise AssertionError(f"no process with {words} among {self.children()}")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to stop; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


def command(*words: str) -> list[str]:
    """Return the command line of a `leadsman` command."""
    return [sys.executable, "-m", "leadsman", *words]


@contextmanager
def running_up(
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    ports: tuple[int, int] | None = None,
    database_url: str | None = None,
    options: tuple[str, ...] = (),
) -> Iterator[RunningUp]:
    """Start it, wait until it is ready, stop it in the end."""
    port, monitor_port = ports or free_ports(2)
    (data_dir / "addresses.json").unlink(missing_ok=True)
    words = ["up", "--data-dir", str(data_dir), "--port", str(port), *options]
    if database_url is not None:
        words += ["--database-url", database_url]
    process = subprocess.Popen(
        command(*words, "--monitor-port", str(monitor_port)),
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C reaches the group of a terminal; here it is sent to this process alone.
        start_new_session=True,
    )
    up = RunningUp(data_dir, port, monitor_port, process)
    try:
        until = time.monotonic() + READY_WITHIN
        while not (data_dir / "addresses.json").exists():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise AssertionError(f"not ready: {process.communicate()[0]}")
            time.sleep(0.05)
        yield up
    finally:
        up.stop()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(what: object, within: float = 30.0) -> None:
    """Wait for a condition, given as a callable without arguments."""
    assert callable(what)
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.1)
