"""What is in force for an application: read from the registry, kept as values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from serving.inputs import compile_schema
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
    goods: tuple[Revision, ...] = ()
    """The good revisions before it, as in `lines`."""

    def rolled_back(self, revision: Revision) -> "RouteState | None":
        """The state after a rollback to the last good revision; None if it was to another one.

        What becomes the last good one by that is not known here, and was not warm before.
        """
        if revision.revision != self.revision.revision + 1 or not self.goods:
            return None
        if revision.restores != self.goods[0].revision:
            return None
        line = self.lines[1]
        application = replace(self.application, input_schema=line.schema)
        return RouteState(application, revision, self.lines[1:], self.goods[1:])

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
    wanted = in_use(history, keep)
    schemas = await applications.schemas(connection, {one.input_schema_id for one in wanted})
    named = [parse(one.policy).versions() for one in wanted]
    found = await versions.by_refs(connection, {ref for refs in named for ref in refs}, hold=hold)
    lines = tuple(
        Line(schemas[one.input_schema_id], {ref: found[ref] for ref in refs})
        for one, refs in zip(wanted, named, strict=True)
    )
    return RouteState(application, history[-1], lines, tuple(wanted[1:]))


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


def unkept_schema(schema: dict[str, Any]) -> InputSchema:
    """A form of the inputs that is not kept yet."""
    codec = compile_schema(schema)
    return InputSchema(0, schema, codec.features, codec.encoding)
