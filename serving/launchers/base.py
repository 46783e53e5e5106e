"""The contract of every launcher."""

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from serving.records import Version


class LauncherKind(StrEnum):
    """What replicas run as."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one replica may use of the machine; each launcher says how far it holds that."""

    cpu: float | None = None
    """Processors; none for as many as there are."""
    memory_mb: int | None = None
    """Memory of its own in MiB; none for as much as there is."""


UNLIMITED = Limits()
"""What a version gets of which nothing else was said."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Set to the processors of a limit, else to one: small batches lose more to waking threads than
they gain, and replicas share the cores."""

LAST_WORDS_BYTES = 4096
"""How much of the end of what a replica wrote is told."""


def model_options(version: Version) -> list[str]:
    """What the replica program is told of a version's manifest, on its command line."""
    manifest, options = version.manifest, ["--framework", version.framework]
    if (entry := manifest.get("entry")) is not None:
        options += ["--entry", entry]
    if (classes := manifest.get("classes")) is not None:
        options += ["--classes", json.dumps(classes)]
    return options


def memory_verdict(limit: int | None) -> str:
    """The sentence about a replica that memory ended."""
    if limit is None:
        return "(It was killed because the machine ran out of memory.)"
    return f"(It reached its memory limit of {limit} MiB.)"


def tasks_verdict(limit: int) -> str:
    """The sentence about a replica with too many processes."""
    return f"(It started too many processes: with their threads it may have {limit}.)"


class LauncherUnavailableError(OSError):
    """What the launcher works through does not answer; replicas that run go on."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"expected {what} to answer, got: {reason}")


class StartRefusedError(OSError):
    """What the launcher works through answers, and will not start this replica."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} does not start the replica: {reason}")


class Replica(Protocol):
    """One started replica of a version."""

    @property
    def name(self) -> str:
        """As what started it knows it: a process, a container, a pod."""

    @property
    def pid(self) -> int | None:
        """Its process on this machine; none where it runs on another one."""

    async def address(self) -> str | None:
        """Where it can be connected to: a socket's path or `tcp://HOST:PORT`; none as yet."""

    async def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    async def stop(self, grace: timedelta) -> None:
        """End it and wait: politely first, by force after `grace`. Nothing of it is left then."""

    def kill(self) -> None:
        """Begin to end it and all that it started, now; `stop` waits for that."""

    def last_words(self) -> str:
        """The end of what it wrote, after `stop`: also what ended it, where it could not say."""


@runtime_checkable
class TellsSoFar(Protocol):
    """A replica whose words are somewhere else as long as it runs, and have to be fetched."""

    async def words_so_far(self) -> str:
        """The end of what it wrote until now."""


class Launcher(Protocol):
    """Starts replicas."""

    async def start(
        self,
        version: Version,
        *,
        python: Path | None,
        features: tuple[str, ...],
        limits: Limits = UNLIMITED,
    ) -> Replica:
        """Start a replica: that it works is known when it says hello.

        Parameters
        ----------
        python
            Interpreter of the model's environment; none for the service's own. Only processes go by
            it: containers carry an environment of their own.
        features
            Names of the features in a row's order, for models that go by names.
        limits
            What the replica may use.

        Raises
        ------
        OSError
            If the replica cannot be started at all; says why in a sentence.
        """

    async def find(self) -> list[Replica]:
        """Replicas of the same owner that this launcher did not start.

        An owner is a serving process by its data folder: what an earlier life of it left behind
        when it was killed.

        Raises
        ------
        LauncherUnavailableError
            If nobody who could know answers.
        """


@runtime_checkable
class Prepares(Protocol):
    """A launcher that makes something before the first start of a version, which takes minutes."""

    async def prepare(self, version: Version, python: Path | None) -> None:
        """Make what a version's starts need, where it is not there: its environment, its image.

        Raises
        ------
        OSError
            As `start` does.
        """

    def progress(self, version: Version) -> str | None:
        """What is being made for a version just now, in words; none if nothing is."""
