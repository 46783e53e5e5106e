"""Parts of the record that are read apart from each other: the applications are spread over them.

Every shard goes through all shipments by a cursor of its own and takes the rows of its own
applications. An application belongs to one shard for as long as the number of shards stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from monitor.records import Position, Registry

ALL = "all"
"""Name of the only shard, where there is one."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part, and by which right it is read."""

    name: str = ALL
    token: int | None = None
    """Token of the lease under which it is read; none where nobody else reads."""
    until: Position | None = None
    """Shipments beyond are left; none for no end."""

    @property
    def place(self) -> tuple[int, int]:
        """Its number, counting from 0, and how many there are."""
        if self.name == ALL:
            return 0, 1
        number, _, count = self.name.partition("/")
        return int(number) - 1, int(count)

    def holds(self, application_id: int) -> bool:
        """Whether an application's rows are read by it."""
        number, count = self.place
        return application_id % count == number

    def applications(self, every: Iterable[int]) -> list[int] | None:
        """Its own of all applications; none where all are its own."""
        return None if self.name == ALL else [a for a in every if self.holds(a)]

    def restrict(self, registry: Registry) -> Registry:
        """The registry with its own applications alone: of no other it concludes anything."""
        if self.name == ALL:
            return registry
        return replace(
            registry,
            applications={a: v for a, v in registry.applications.items() if self.holds(a)},
            routes={a: v for a, v in registry.routes.items() if self.holds(a)},
        )


def shard_names(count: int) -> list[str]:
    """Names of the shards, where there are so many."""
    return [ALL] if count == 1 else [f"{number}/{count}" for number in range(1, count + 1)]
