"""What is in force for an application: read from the registry, kept as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from serving.policies import parse
from serving.records import Application, InputSchema, Revision, Version
from serving.replicas import QueueKey, key_of
from serving.route_history import last_goods
from serving.store import applications, revisions
from serving.store.models import Versions


@dataclass(frozen=True, slots=True)
class Line:
    """What one policy needs."""

    schema: InputSchema
    """Its id is 0 where it is stated by a change under way and not kept yet."""
    versions: dict[str, Version]
    """By `model:version`."""

    @property
    def keys(self) -> frozenset[QueueKey]:
        """The queues."""
        return frozenset(key_of(version, self.schema) for version in self.versions.values())


@dataclass(frozen=True, slots=True)
class RouteState:
    """What is in force for an application."""

    application: Application
    revision: Revision
    lines: tuple[Line, ...]
    """What the revision needs, then what each good one before it needs, the nearest first."""

    @property
    def keys(self) -> frozenset[QueueKey]:
        """All queues that are to be kept."""
        return frozenset[QueueKey]().union(*(line.keys for line in self.lines))

    @property
    def refs(self) -> frozenset[str]:
        """All versions that are needed."""
        return frozenset(ref for line in self.lines for ref in line.versions)


async def read_line(
    connection: AsyncConnection,
    versions: Versions,
    policy: dict[str, Any],
    schema: InputSchema,
    *,
    hold: bool = False,
) -> Line:
    """Look up what a policy needs.

    Parameters
    ----------
    hold
        Let nobody delete the versions until the transaction ends.
    """
    refs = parse(policy).versions()
    return Line(schema, await versions.by_refs(connection, refs, hold=hold))


async def read_state(
    connection: AsyncConnection, versions: Versions, name: str, *, keep: int, hold: bool = False
) -> RouteState | None:
    """What is in force for an application; None before its first route.

    Parameters
    ----------
    keep
        Good revisions before the one in force that stay warm.

    Raises
    ------
    ApplicationNotFoundError
        If there is no such application.
    """
    application = await applications.get(connection, name)
    history = await revisions.history(connection, application.id)
    if not history:
        return None
    lines = []
    for one in in_use(history, keep):
        schema = await applications.schema(connection, one.input_schema_id)
        lines.append(await read_line(connection, versions, one.policy, schema, hold=hold))
    return RouteState(application, history[-1], tuple(lines))


def in_use(history: Sequence[Revision], keep: int) -> list[Revision]:
    """The revision in force and the good ones before it that stay warm.

    Parameters
    ----------
    history
        Every revision of an application, the oldest first; at least one.
    """
    return [history[-1], *last_goods(history, keep)]


async def users_of(connection: AsyncConnection, ref: str, *, keep: int) -> list[str]:
    """Applications whose route or warm revisions need a version, by name."""
    histories = await revisions.of_all(connection)
    return [
        name
        for name, history in histories.items()
        if any(ref in parse(one.policy).versions() for one in in_use(history, keep))
    ]
