"""Environments of versions on this machine: built once for each set of requirements, then kept.

An environment is a virtual environment in a folder named by the digest of what it is made from:
the interpreter, the requirements, the machine. It is built under a lock that processes share: of
several that want the same, one builds and the others wait. uv builds it where there is one, else
venv and pip.
"""

import asyncio
import fcntl
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.launchers.base import StartRefusedError
from serving.launchers.environments import requirements_of
from serving.launchers.interpreters import Interpreter, find_interpreter
from serving.records import Version

log = logging.getLogger("serving.environments")

MADE = "environment.json"
"""What an environment was made from; written last, so that where it is the environment is whole."""
WORDS = 3000
"""Bytes of the end of what a failed build said that are told."""
LOOK_AGAIN = 0.2
"""Seconds between two looks whether another process has finished."""
PROGRESS = re.compile(
    r"^(Collecting|Downloading|Installing|Building|Prepared|Resolved|Installed|Using cached|"
    r"Downloaded| \+ )"
)
"""Lines of uv and pip that tell how far they are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment is made from."""

    python: Interpreter
    requirements: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of all of it, shortened."""
        told = [str(self.python.path), self.python.release, platform.machine(), *self.requirements]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


class EnvironmentStore:
    """A folder of environments.

    Parameters
    ----------
    folder
        Shared by all serving processes of this machine.
    installer
        `uv` or `pip`; by default uv where it is found.
    """

    def __init__(self, folder: Path, *, installer: str | None = None) -> None:
        self._folder = folder.absolute()
        self._uv = None if installer == "pip" else _find_uv()
        if installer == "uv" and self._uv is None:
            raise FileNotFoundError("uv is not on the path")
        self._progress: dict[str, str] = {}

    def progress(self, version: Version) -> str | None:
        """What is being done for a version's environment just now; none if nothing is."""
        return self._progress.get(version.digest + str(version.id))

    async def python(self, version: Version, default: Path | None) -> Path | None:
        """The interpreter of a version's environment, built where there is none yet.

        Parameters
        ----------
        default
            Where the version states nothing; none for the service's own.

        Raises
        ------
        StartRefusedError
            If it cannot be built; with the end of what the installer said.
        """
        stated = version.manifest.get("requirements")
        python = version.manifest.get("python")
        if not stated and (python is None or os.path.sep in python):
            return Path(python) if python else default
        base = await asyncio.to_thread(find_interpreter, python)
        if not stated and base.is_own:
            return default
        plan = Plan(base, requirements_of(version))
        if (found := self._made(plan)) is not None:
            return found
        key = version.digest + str(version.id)
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            loop.call_soon_threadsafe(self._progress.__setitem__, key, line)

        log.info("environment_wanted version=%s environment=%s", version.ref, plan.digest)
        say("waiting for another process that builds it")
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._build, plan, say, stop)
        finally:
            stop.set()
            loop.call_soon(self._progress.pop, key, None)

    def _made(self, plan: Plan) -> Path | None:
        place = self._folder / plan.digest
        return place / "bin" / "python" if (place / MADE).is_file() else None

    def _build(self, plan: Plan, say: Callable[[str], None], stop: threading.Event) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        with _only_builder(self._folder / f"{plan.digest}.lock", stop) as lock:
            if (found := self._made(plan)) is not None:
                return found
            place = self._folder / plan.digest
            # An environment knows its own path, so it is built in place; what a killed process
            # left half made has no list of what it was made from, and is made anew.
            shutil.rmtree(place, ignore_errors=True)
            try:
                self._install(plan, place, _Step(say, stop, lock))
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            told = {"python": str(plan.python.path), "requirements": plan.requirements}
            (place / MADE).write_text(json.dumps(told, indent=1))
            log.info("environment_built environment=%s", plan.digest)
            return place / "bin" / "python"

    def _install(self, plan: Plan, place: Path, step: "_Step") -> None:
        python, base = str(place / "bin" / "python"), str(plan.python.path)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(f"{one}\n" for one in plan.requirements))
            file.flush()
            step.say(f"making an environment of Python {plan.python.release}")
            if self._uv is not None:
                uv = str(self._uv)
                step.run([uv, "venv", "--quiet", "--python", base, str(place)])
                # Compiled now, or every start of a replica would do it again.
                install = [uv, "pip", "install", "--compile-bytecode", "--python", python]
            else:
                step.run([base, "-m", "venv", str(place)])
                install = [python, "-m", "pip", "install", "--disable-pip-version-check"]
            step.say(f"installing {', '.join(plan.requirements)}")
            step.run([*install, "-r", file.name])


@dataclass(frozen=True, slots=True)
class _Step:
    """Runs one command of a build after the other."""

    say: Callable[[str], None]
    """Told how far it is."""
    stop: threading.Event
    """Set where nobody waits any more."""
    lock: int
    """Held by what runs as well: what a killed process leaves running keeps others off."""

    def run(self, command: list[str]) -> None:
        """Run a command to its end; raises `StartRefusedError` if it fails."""
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=_variables(), pass_fds=(self.lock,),
        )  # fmt: skip
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()
        words = ""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                words = (words + line)[-WORDS:]
                if PROGRESS.match(line):
                    self.say(line.strip()[:200])
        if status := process.wait():
            name = Path(command[0]).name
            raise StartRefusedError(
                "the build of its environment", f"{name} ended with {status}:\n{words.strip()}"
            )

    def _watch(self, process: "subprocess.Popen[str]") -> None:
        while process.poll() is None:
            if self.stop.wait(0.2):
                process.kill()
                return


def _variables() -> dict[str, str]:
    """Variables of an installer: ours, without those that would point it elsewhere."""
    return {
        name: value for name, value in os.environ.items()
        if not name.startswith(("SERVING_", "MONITOR_", "LEADSMAN_", "PG", "PYTHON", "VIRTUAL_ENV"))
    }  # fmt: skip


def _find_uv() -> Path | None:
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    return None if found is None else Path(found)


@contextmanager
def _only_builder(place: Path, stop: threading.Event) -> Iterator[int]:
    """Hold back other processes of this machine that want the same environment."""
    lock = os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(LOOK_AGAIN):
                    raise StartRefusedError("its environment", "nobody waits for it") from None
        yield lock
    finally:
        os.close(lock)
