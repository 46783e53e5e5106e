"""Route changes in two phases: start and probe, then record and switch.

Nothing that answers is touched before the new revision is committed, and what is committed is all
that a restart looks at. So a change that fails, or a process that dies in the middle of one, leaves
the route as it was.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serving import metrics
from serving.batching import Outcome, State
from serving.errors import (
    ApplicationNotFoundError,
    NothingToRollBackToError,
    ProbeFailedError,
    RevisionMovedError,
    RevisionNotFoundError,
    RouteNotFoundError,
    SchemaMissingError,
    ServingError,
)
from serving.inference import ActiveRoute, Inference
from serving.inputs import compile_schema, infer_schema
from serving.policies import parse
from serving.records import Application, InputSchema, Key, Revision, RevisionKind, Version
from serving.references import ReferenceRows
from serving.replicas import QueueKey, Replicas, key_of
from serving.route_history import last_good
from serving.store import applications, models, revisions
from serving.store.models import Versions

log = logging.getLogger("serving.rollout")

RECONCILE_PAUSE = 1.0
"""Seconds between attempts to read what is in force, where a commit's outcome is unknown."""


REFERENCE_SECONDS = 300.0
"""Longest time in which a version may answer its reference rows."""


class Recording(Protocol):
    """The transaction in which a revision is written."""

    @property
    def connection(self) -> AsyncConnection:
        """Where to write."""

    async def revised(self, revision: Revision) -> None:
        """Write what else belongs to the change, before the commit."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a change, why, and on which condition."""

    key: Key
    begin: Callable[[], AbstractAsyncContextManager[Recording]]
    """Opens the transaction of the change."""
    reason: str | None = None
    evidence: dict[str, Any] | None = None
    expected_revision: int | None = None
    """The change is refused if another revision is in force."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A state of a route that is to be put in force."""

    kind: RevisionKind
    policy: dict[str, Any]
    schema: InputSchema
    """Its id is 0 where it is stated by this very change and not kept yet."""
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """What one policy needs."""

    schema: InputSchema
    versions: dict[str, Version]

    @property
    def keys(self) -> set[QueueKey]:
        """The queues."""
        return {key_of(version, self.schema) for version in self.versions.values()}


@dataclass(frozen=True, slots=True)
class _State:
    """What is in force for an application."""

    application: Application
    revision: Revision
    lines: tuple[_Line, ...]
    """What the revision needs, then what the last good one needs if there is one."""


Aim = Callable[[AsyncConnection, Application, Sequence[Revision]], Awaitable[_Target]]
"""From an application and its history to the state that is wanted."""


class Rollout:
    """Changes routes, and keeps what they and their last good revisions need running."""

    def __init__(
        self, engine: AsyncEngine, versions: Versions, replicas: Replicas, inference: Inference
    ) -> None:
        self.restored = False
        """Whether the routes in force were read from the database since the start."""
        self.needed_by: dict[str, frozenset[str]] = {}
        """Versions that each application's route or last good revision needs."""
        self._engine = engine
        self._versions = versions
        self._replicas = replicas
        self._inference = inference
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def change(self, name: str, policy: dict[str, Any], order: Order) -> Revision:
        """Put a policy in force.

        Raises
        ------
        ServingError
            `VersionFailedToStartError` and `ProbeFailedError` where a version does not come up,
            `RevisionMovedError` where another revision is in force than expected, and whatever says
            that the request names something that is not there. The old route stands.
        """
        parse(policy)

        async def aim(
            connection: AsyncConnection, application: Application, _: Sequence[Revision]
        ) -> _Target:
            schema = application.input_schema or await self._infer_schema(connection, name, policy)
            return _Target("change", policy, schema)

        return await self._carry_out(name, order, aim)

    async def roll_back(self, name: str, to_revision: int | None, order: Order) -> Revision:
        """Return to a revision, by default to the last good one.

        Raises
        ------
        ServingError
            As for `change`; `NothingToRollBackToError` where no earlier state has another champion.
        """

        async def aim(
            connection: AsyncConnection, _: Application, history: Sequence[Revision]
        ) -> _Target:
            if to_revision is None:
                target = last_good(history)
                if target is None:
                    raise NothingToRollBackToError(name)
            else:
                named = (one for one in history if one.revision == to_revision)
                target = next(named, None)
                if target is None:
                    raise RevisionNotFoundError(name, to_revision)
            schema = await applications.schema(connection, target.input_schema_id)
            return _Target("rollback", target.policy, schema, restores=target.revision)

        return await self._carry_out(name, order, aim)

    async def change_schema(self, name: str, schema: InputSchema, order: Order) -> Revision:
        """Put a new form of the inputs in force, under the policy that is in force.

        Raises
        ------
        ServingError
            As for `change`; `RouteNotFoundError` where there is no policy yet.
        """

        async def aim(_: AsyncConnection, __: Application, history: Sequence[Revision]) -> _Target:
            if not history:
                raise RouteNotFoundError(name)
            return _Target("change", history[-1].policy, schema)

        return await self._carry_out(name, order, aim)

    async def _carry_out(self, name: str, order: Order, aim: Aim) -> Revision:
        # Changes of one application go one after the other. Across processes the row lock on the
        # application does the same for the part that counts.
        started = time.monotonic()
        async with self._locks.setdefault(name, asyncio.Lock()):
            async with self._engine.connect() as connection:
                application = await applications.get(connection, name)
                history = await revisions.history(connection, application.id)
                _expect(order.expected_revision, history)
                target = await aim(connection, application, history)
                line = await self._line(connection, target.policy, target.schema)
            with self._replicas.claim(line.keys):
                await self._prepare(line)
                state = await self._record(name, order, target, seen=len(history))
                self._switch(state)
        seconds = time.monotonic() - started
        metrics.ROUTE_CHANGES.labels(name, target.kind).observe(seconds)
        log.info(
            "route_changed application=%s revision=%d kind=%s actor=%s seconds=%.3f",
            name, state.revision.revision, target.kind, order.key.name, seconds,
        )  # fmt: skip
        return state.revision

    async def _infer_schema(
        self, connection: AsyncConnection, name: str, policy: dict[str, Any]
    ) -> InputSchema:
        """The form of the reference rows of the first version that has any."""
        refs = parse(policy).versions()
        found = await self._versions.by_refs(connection, refs)
        for ref in refs:
            reference = await models.find_reference(connection, found[ref].id)
            if reference is not None:
                return _schema_of(infer_schema(reference.inputs, reference.features))
        raise SchemaMissingError(name)

    async def answer_reference(self, version: Version, rows: ReferenceRows) -> ReferenceRows:
        """Let a version answer its reference rows.

        Raises
        ------
        VersionFailedToStartError, ProbeFailedError
            If it does not start, or does not answer a row.
        """
        schema = _schema_of(rows.schema)
        codec = compile_schema(schema.schema)
        with self._replicas.claim([key_of(version, schema)]):
            queue = await self._replicas.ready(version, schema)
            await self._replicas.probe(
                queue, codec, dict(zip(rows.features, rows.inputs[0], strict=True))
            )
            deadline = asyncio.get_running_loop().time() + REFERENCE_SECONDS
            asked = [
                queue.submit(codec.check(row), deadline, background=True) for row in rows.inputs
            ]
            answers = await asyncio.gather(*asked)
        for place, answer in enumerate(answers):
            if answer.outcome != Outcome.ANSWERED:
                reason = answer.error or answer.outcome.name.lower()
                raise ProbeFailedError(version.ref, f"row {place}: {reason}")
        return replace(rows, outputs=[json.loads(answer.output) for answer in answers])

    async def _line(
        self, connection: AsyncConnection, policy: dict[str, Any], schema: InputSchema
    ) -> _Line:
        refs = parse(policy).versions()
        return _Line(schema, await self._versions.by_refs(connection, refs))

    async def _prepare(self, line: _Line) -> None:
        """Start what is not running; ask each version one row by the path that requests take."""
        codec = compile_schema(line.schema.schema)

        async def one(version: Version) -> None:
            queue = await self._replicas.ready(version, line.schema)
            async with self._engine.connect() as connection:
                row = await models.first_reference_row(connection, version.id)
            await self._replicas.probe(queue, codec, row)

        # All come to their end before the first failure is told: none is left half started.
        versions = line.versions.values()
        for outcome in await asyncio.gather(*map(one, versions), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _record(self, name: str, order: Order, target: _Target, *, seen: int) -> _State:
        """Write the revision, and read what is in force with it."""
        committing = False
        try:
            async with order.begin() as recording:
                connection = recording.connection
                application = await applications.lock(connection, name)
                history = await revisions.history(connection, application.id)
                _expect(order.expected_revision, history)
                if len(history) != seen:
                    # Another process changed the route while the replicas started.
                    raise RevisionMovedError(seen, len(history))
                schema = target.schema
                if schema.id == 0:
                    schema = await applications.add_schema(connection, application.id, schema)
                revision = await revisions.append(
                    connection,
                    application,
                    revision=seen + 1,
                    kind=target.kind,
                    restores=target.restores,
                    policy=target.policy,
                    input_schema_id=schema.id,
                    key=order.key,
                    reason=order.reason,
                    evidence=order.evidence,
                )
                await recording.revised(revision)
                state = await self._state(connection, name)
                assert state is not None, "a revision was just written"
                committing = True
            return state
        except BaseException:
            if committing:
                # Nobody knows whether Postgres took it: go by what it says as soon as it speaks.
                self._spawn(self._reconcile(name), f"reconcile {name}")
            raise

    async def _state(self, connection: AsyncConnection, name: str) -> _State | None:
        application = await applications.get(connection, name)
        history = await revisions.history(connection, application.id)
        if not history:
            return None
        lines = []
        for one in (history[-1], last_good(history)):
            if one is not None:
                schema = await applications.schema(connection, one.input_schema_id)
                lines.append(await self._line(connection, one.policy, schema))
        return _State(application, history[-1], tuple(lines))

    def _switch(self, state: _State) -> None:
        """Let the next request go by the state; one assignment between two requests."""
        name, line = state.application.name, state.lines[0]
        self._inference.routes[name] = ActiveRoute(
            application=state.application,
            revision=state.revision.revision,
            codec=compile_schema(line.schema.schema),
            policy=parse(state.revision.policy),
            queues={
                ref: self._replicas.get(version, line.schema)
                for ref, version in line.versions.items()
            },
        )
        # The last good revision stays warm: a rollback then has nothing to start.
        self._replicas.need(name, set[QueueKey]().union(*(one.keys for one in state.lines)))
        self.needed_by[name] = frozenset(ref for one in state.lines for ref in one.versions)
        for one in state.lines:
            for version in one.versions.values():
                if self._replicas.get(version, one.schema).state != State.READY:
                    trying = self._replicas.keep_trying(version, one.schema)
                    self._spawn(trying, f"restore {version.ref}")

    async def refresh(self, name: str) -> None:
        """Go by what the database says of an application, after a change that made no revision."""
        async with self._engine.connect() as connection:
            try:
                state = await self._state(connection, name)
                self._inference.known.add(name)
            except ApplicationNotFoundError:
                state = None
                self._inference.known.discard(name)
        if state is not None:
            self._switch(state)
            return
        self._inference.routes.pop(name, None)
        self._replicas.need(name, ())
        self.needed_by.pop(name, None)

    async def _reconcile(self, name: str) -> None:
        while True:
            try:
                await self.refresh(name)
                return
            except (SQLAlchemyError, OSError) as error:
                log.warning("route_unknown application=%s error=%r", name, error)
            await asyncio.sleep(RECONCILE_PAUSE)

    async def restore(self) -> None:
        """Put in force what the database says; replicas come up behind it."""
        async with self._engine.connect() as connection:
            names = [application.name for application in await applications.every(connection)]
        for name in names:
            try:
                await self.refresh(name)
            except ServingError as error:
                # One application whose route cannot be read must not keep the others from theirs.
                log.error("route_not_restored application=%s why=%s", name, error.detail)
        self.restored = True

    def waiting(self) -> list[str]:
        """Applications of which a version in force is not ready."""
        return [
            name
            for name, route in self._inference.routes.items()
            if any(queue.state != State.READY for queue in route.queues.values())
        ]

    async def stop(self) -> None:
        """End what is under way, and all replicas."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._replicas.stop()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("rollout_task_failed task=%s", task.get_name(), exc_info=error)


def _schema_of(schema: dict[str, Any]) -> InputSchema:
    """A form of the inputs that is not kept yet."""
    codec = compile_schema(schema)
    return InputSchema(0, schema, codec.features, codec.encoding)


def _expect(expected: int | None, history: Sequence[Revision]) -> None:
    current = history[-1].revision if history else 0
    if expected is not None and expected != current:
        raise RevisionMovedError(expected, current)
