"""Ends a replica that starts processes without end.

A limit of the kernel's that would do is one of a control group, which an ordinary user may not
make; that of a user (`RLIMIT_NPROC`) counts everybody's processes together, and root's not at all.
So replicas that are processes are counted from outside, by a thread that needs nobody's event loop.
What the whole machine runs is one number that costs nothing to read: only where it has grown, or
after `EVERY`, are the processes looked at one by one.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.1
"""Seconds between two looks at how many tasks the machine has."""
EVERY = 5.0
"""Seconds between two looks at each process, where that number says nothing."""
ROUNDS = 200
"""Times that what is left of a replica is killed, where it starts new processes meanwhile."""

NAME = "REPLICA_NAME"
"""Variable by which what a model started, in whichever group, is told from what others did."""
MARK = f"{NAME}=".encode()

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Root:
    """A process that was started, with all that it starts."""

    pid: int
    begun: int
    """When it started: its number may become somebody else's once it has been waited for."""
    mark: bytes
    """`NAME=value` in its environment, and so in that of what it starts."""

    @classmethod
    def of(cls, pid: int, mark: str) -> "Root":
        """A child that has not been waited for, with its mark after `NAME=`."""
        process = _process(pid)
        return cls(pid, process.begun if process is not None else 0, MARK + mark.encode())


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    session: int
    threads: int
    begun: int
    """When it started, in the kernel's ticks: with the number, who it is."""
    ended: bool


class Family:
    """Which processes of the machine belong to which root.

    By their session, by their parents, and by the mark where they left both. What cleared its
    environment as well is nobody's.
    """

    def __init__(self) -> None:
        self._unmarked: set[tuple[int, int]] = set()
        self._marked: dict[tuple[int, int], bytes] = {}

    def members(self, roots: Iterable[Root]) -> dict[int, list[_Process]]:
        """The processes of each root, by the root's number; itself too."""
        processes = _processes()
        roots = list(roots)
        by_pid = {one.pid: one.pid for one in roots if _is_its_number(one, processes.get(one.pid))}
        by_mark = {one.mark: one.pid for one in roots}
        owners: dict[int, int | None] = {}

        def owner(pid: int) -> int | None:
            line: list[int] = []
            while pid not in owners:
                process = processes.get(pid)
                if process is None or pid in line:
                    owners[pid] = None
                    break
                found = by_pid.get(pid) or by_pid.get(process.session)
                if found is None:
                    found = by_mark.get(self._mark(process))
                if found is not None:
                    owners[pid] = found
                    break
                line.append(pid)
                pid = process.parent
            for one in line:
                owners[one] = owners[pid]
            return owners[pid]

        members: dict[int, list[_Process]] = {one.pid: [] for one in roots}
        for pid, process in processes.items():
            if (root := owner(pid)) is not None:
                members[root].append(process)
        present = {(one.pid, one.begun) for one in processes.values()}
        self._unmarked &= present
        self._marked = {key: mark for key, mark in self._marked.items() if key in present}
        return members

    def _mark(self, process: _Process) -> bytes:
        key = (process.pid, process.begun)
        if key in self._unmarked:
            return b""
        if (known := self._marked.get(key)) is None:
            known = _mark_of(process.pid)
            if known:
                self._marked[key] = known
            else:
                self._unmarked.add(key)
        return known


def _is_its_number(root: Root, process: _Process | None) -> bool:
    """Whether a number still means what it did: that of a session goes with its last process."""
    return process is None or process.begun == root.begun


def _mark_of(pid: int) -> bytes:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        # It ended, or is another user's.
        return b""
    return next((one for one in variables.split(b"\0") if one.startswith(MARK)), b"")


def _processes() -> dict[int, _Process]:
    found = (_process(int(one.name)) for one in os.scandir(_PROC) if one.name.isdigit())
    return {one.pid: one for one in found if one is not None}


def _process(pid: int) -> _Process | None:
    try:
        data = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    # proc_pid_stat(5); the name in brackets may hold anything.
    fields = data[data.rindex(b")") + 2 :].split()
    return _Process(
        pid=pid, parent=int(fields[1]), session=int(fields[3]), threads=int(fields[17]),
        begun=int(fields[19]), ended=fields[0] in (b"Z", b"X"),
    )  # fmt: skip


def end_all(root: Root) -> None:
    """Kill a process and all that it started, also what starts while that goes on."""
    # To all of a group at once: no process of it can fork between two kills.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if _is_its_number(root, _process(root.pid)):
            os.killpg(root.pid, signal.SIGKILL)
    family = Family()
    for _ in range(ROUNDS):
        left = [one for one in family.members([root])[root.pid] if not one.ended]
        if not left:
            return
        for one in left:
            _kill(one)
        time.sleep(0.002)


def _kill(process: _Process) -> None:
    """Kill it, and nobody who has its number by now."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            now = _process(process.pid)
            if now is not None and now.begun == process.begun:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


class TaskWatch:
    """Counts the processes and threads of replicas, and ends one that has too many.

    Parameters
    ----------
    limit
        Processes and threads of one replica together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._watched: dict[Root, Callable[[int], None]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, root: Root, tell: Callable[[int], None]) -> None:
        """Watch a process until `remove`; `tell` hears how many there were before it is ended."""
        with self._lock:
            self._watched[root] = tell
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tasks", daemon=True)
                self._thread.start()

    def remove(self, root: Root) -> None:
        """Watch it no more."""
        with self._lock:
            self._watched.pop(root, None)

    def _run(self) -> None:
        family, base, looked = Family(), 0, 0.0
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                watched = dict(self._watched)
            now, tasks = time.monotonic(), _tasks_of_the_machine()
            base = min(base, tasks)
            if tasks - base < self.limit // 4 and now - looked < EVERY:
                continue
            self._look(family, watched)
            base, looked = _tasks_of_the_machine(), time.monotonic()

    def _look(self, family: Family, watched: dict[Root, Callable[[int], None]]) -> None:
        found = family.members(watched)
        for root, tell in watched.items():
            count = sum(one.threads for one in found[root.pid] if not one.ended)
            if count > self.limit:
                tell(count)
                end_all(root)


def _tasks_of_the_machine() -> int:
    """Processes and threads that there are; proc_loadavg(5)."""
    return int(_read("/proc/loadavg").split()[3].split(b"/")[1])


def _read(path: str) -> bytes:
    """A line of the kernel's; a file object would ask for six things besides its bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
