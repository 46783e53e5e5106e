"""The contract of every launcher."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from serving.records import Version


@dataclass(frozen=True, slots=True)
class Limits:
    """What one replica may use of the machine; each launcher says how far it holds that."""

    cpu: float | None = None
    """Processors; none for as many as there are."""
    memory_mb: int | None = None
    """Memory of its own in MiB; none for as much as there is."""


UNLIMITED = Limits()
"""What a version gets of which nothing else was said."""


class Replica(Protocol):
    """One started replica of a version."""

    address: str
    """Path of the Unix socket that it answers on."""
    pid: int

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    async def stop(self, grace: timedelta) -> None:
        """End it and wait: politely first, by force after `grace`."""

    def kill(self) -> None:
        """End it and all that it started, now."""

    def last_words(self) -> str:
        """The end of what it wrote to its standard error; stays readable after its death."""


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
        """Start a replica and return at once: that it works is known when it says hello.

        Parameters
        ----------
        python
            Interpreter of the model's environment; none for the service's own.
        features
            Names of the features in a row's order, for models that go by names.
        limits
            What the replica may use.

        Raises
        ------
        OSError
            If the process cannot be started at all.
        """
