"""The whole service on one machine: Postgres, serving, monitor, supervised as one."""

import asyncio
import fcntl
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType

import httpx

import dashboards
from leadsman.child import Child
from leadsman.connection import remember
from leadsman.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from leadsman.errors import AlreadyRunningError, ChildFailedError, PortTakenError
from migrations.upgrade import upgrade

READY_TIMEOUT = 60.0
"""Seconds that a part may take until it answers /readyz; a first start on a slow disk included."""

MOST_ENDS = 3
"""A part that ends so often before it was ever ready has a reason that will not go away."""

LOOK = 0.1
"""Seconds between two looks at the children."""

STOP_GRACE = 20.0
"""Seconds that serving and monitor get to finish what they began."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start and where."""

    data_dir: Path
    port: int = 8000
    monitor_port: int = 8001
    host: str = "127.0.0.1"
    database_url: str | None = None
    """A Postgres 15 or newer; the embedded one where none is named."""
    workers: int | None = None
    """Serving processes that share the port; as the environment says where absent."""
    launcher: str | None = None
    """What replicas run as; as the environment says where absent."""
    monitors: int = 1
    """Monitors that share the applications by leases; the first has the port."""


class Up:
    """Starts the parts in order, keeps them running, stops them in the opposite order.

    Parameters
    ----------
    plan
        What to start and where.
    say
        Takes one line for the person at the terminal.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self._stopping = threading.Event()
        self._postgres: EmbeddedPostgres | None = None
        self._database_url = plan.database_url or ""
        self._children: list[Child] = []

    @property
    def serving_url(self) -> str:
        """Where serving listens."""
        return f"http://{self.plan.host}:{self.plan.port}"

    @property
    def monitor_url(self) -> str:
        """Where the monitor listens."""
        return f"http://{self.plan.host}:{self.plan.monitor_port}"

    def run(self, ready: Callable[[bool], None]) -> None:
        """Start everything, call `ready` with whether a key was made, supervise until told to stop.

        Raises
        ------
        AlreadyRunningError
            If another `up` holds the data folder.
        PortTakenError
            If somebody listens on a port already.
        ChildFailedError
            If a part does not come up.
        """
        self.plan.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_one(self.plan.data_dir), self._told_to_stop():
            _check_port(self.plan.host, self.plan.port, "--port")
            _check_port(self.plan.host, self.plan.monitor_port, "--monitor-port")
            key, made = _admin_key(self.plan.data_dir)
            try:
                self._start_postgres()
                asyncio.run(upgrade(_sqlalchemy_url(self._database_url)))
                monitors = [self._monitor(key, number) for number in range(self.plan.monitors)]
                self._children = [self._serving(key), *monitors]
                for child in self._children:
                    child.start()
                self._wait_until_ready()
                if not self._stopping.is_set():
                    _write_private(self.plan.data_dir / "database_url", self._database_url)
                    remember(self.plan.data_dir, self.serving_url, self.monitor_url)
                    ready(made)
                self._supervise()
            finally:
                self._stop()

    def _start_postgres(self) -> None:
        if self.plan.database_url is None:
            self._postgres = EmbeddedPostgres(self.plan.data_dir / "postgres")
            self._database_url = self._postgres.start()

    def _serving(self, key: str) -> Child:
        settings = {
            "SERVING_DATABASE_URL": self._database_url,
            "SERVING_DATA_DIR": str((self.plan.data_dir / "serving").absolute()),
            "SERVING_HOST": self.plan.host,
            "SERVING_PORT": str(self.plan.port),
            "SERVING_ADMIN_KEY": key,
        }
        if self.plan.workers is not None:
            settings["SERVING_WORKERS"] = str(self.plan.workers)
        if self.plan.launcher is not None:
            settings["SERVING_LAUNCHER"] = self.plan.launcher
        return Child("serving", self._logs(), os.environ | settings)

    def _monitor(self, key: str, number: int) -> Child:
        settings = {
            "MONITOR_DATABASE_URL": self._database_url,
            "MONITOR_HOST": self.plan.host,
            # People and Prometheus ask the first; what each concluded is in the record for all.
            "MONITOR_PORT": str(self.plan.monitor_port if number == 0 else 0),
            "MONITOR_SERVING_URL": self.serving_url,
            "MONITOR_SERVING_KEY": key,
        }
        # On one machine the receivers of webhooks are on this machine too.
        usual = {
            "MONITOR_WEBHOOK_ALLOW_PRIVATE": "true",
            "MONITOR_CONSOLE_DIR": str(Path(dashboards.__file__).parent / "console"),
            "MONITOR_CONSOLE_URL": self.monitor_url,
            "MONITOR_SHARDS": str(self.plan.monitors),
        }
        called = "monitor" if number == 0 else f"monitor-{number + 1}"
        return Child("monitor", self._logs(), usual | os.environ | settings, called=called)

    def _logs(self) -> Path:
        return self.plan.data_dir / "logs"

    def _wait_until_ready(self) -> None:
        started = time.monotonic()
        ports = {"serving": self.plan.port, "monitor": self.plan.monitor_port}
        # Another monitor has a port that nobody knows, and is ready when it holds a lease.
        for child in self._children[: len(ports)]:
            port = ports[child.name]
            url = f"http://{self.plan.host}:{port}/readyz"
            # Another program may have taken the port since it was looked at, and answer too.
            while not self._stopping.is_set() and not (_answers(url) and child.listens(port)):
                self._look_after()
                waited = time.monotonic() - started
                if waited > READY_TIMEOUT or child.ends >= MOST_ENDS:
                    raise ChildFailedError(child.name, waited, child.last_words())
                self._stopping.wait(LOOK)

    def _supervise(self) -> None:
        while not self._stopping.wait(LOOK):
            self._look_after()

    def _look_after(self) -> None:
        """Restart whatever ended. Postgres first: the others wait for it by themselves."""
        if self._postgres is not None and (code := self._postgres.poll()) is not None:
            self.say(f"postgres ended with status {code}; starting it again")
            try:
                self._moved_to(self._postgres.start())
            except EmbeddedPostgresError as error:
                self.say(f"postgres does not start: {error}")
                self._stopping.wait(1.0)
        for child in self._children:
            if line := child.look():
                self.say(line)

    def _moved_to(self, url: str) -> None:
        """Tell the parts where the database is now, if another program took its port meanwhile."""
        if url == self._database_url:
            return
        self._database_url = url
        _write_private(self.plan.data_dir / "database_url", url)
        for child in self._children:
            child.environment[f"{child.name.upper()}_DATABASE_URL"] = url
            child.ask_to_stop()

    def _stop(self) -> None:
        for child in self._children:
            child.ask_to_stop()
        until = time.monotonic() + STOP_GRACE
        for child in self._children:
            child.wait(max(until - time.monotonic(), 0.1))
        if self._postgres is not None:
            self._postgres.stop(timedelta(seconds=10))

    @contextmanager
    def _told_to_stop(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as the wish to stop, for as long as the block runs."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._stopping.set()

        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder; the kernel gives it free when this process ends, however it ends."""
    lock = os.open(data_dir / "up.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode().strip() or "?"
            raise AlreadyRunningError(data_dir, pid) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _check_port(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The parts of a killed `up` let go of their ports within moments.
        for _ in range(30):
            with suppress(OSError):
                probe.bind((host, port))
                return
            time.sleep(0.1)
    raise PortTakenError(option, port)


def _admin_key(data_dir: Path) -> tuple[str, bool]:
    """Return the admin key and whether it was made just now."""
    file = data_dir / "admin_key"
    given = os.environ.get("LEADSMAN_ADMIN_KEY")
    known = file.read_text().strip() if file.is_file() else None
    key = given or known or f"lsm_{secrets.token_urlsafe(32)}"
    if key != known:
        _write_private(file, key)
    return key, not given and not known


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write(text + "\n")


def _sqlalchemy_url(url: str) -> str:
    return "postgresql+asyncpg://" + url.split("://", 1)[1]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
