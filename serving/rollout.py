"""Route changes in two phases: all ready, then record and switch.

Nothing that answers is touched before the new revision is committed, and what is committed is all
that a restart looks at. So a change that fails, or a process that dies in the middle of one, leaves
the route as it was. Other serving processes are asked first (`serving.agreement`), except where all
that is wanted is warm everywhere, as it is for a rollback to the last good revision.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serving.agreement import Agreement, Proposal
from serving.errors import (
    NothingToRollBackToError,
    RevisionMovedError,
    RevisionNotFoundError,
    RouteNotFoundError,
    SchemaMissingError,
)
from serving.in_force import InForce, check_probe
from serving.inputs import compile_schema, infer_schema
from serving.policies import parse
from serving.records import Application, InputSchema, Revision, RevisionKind
from serving.replicas import Replicas
from serving.route_history import last_good
from serving.route_orders import Order
from serving.route_states import Line, RouteState, read_line, read_state, unkept_schema
from serving.store import applications, models, revisions
from serving.store.models import Versions

log = logging.getLogger("serving.rollout")


@dataclass(frozen=True, slots=True)
class _Target:
    """A state of a route that is to be put in force."""

    kind: RevisionKind
    policy: dict[str, Any]
    schema: InputSchema
    """Its id is 0 where it is stated by this very change and not kept yet."""
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """One change on its way."""

    application: Application
    order: Order
    target: _Target
    seen: int
    """Revisions that there were when it began."""
    decided_at: datetime

    @property
    def revision(self) -> int:
        """The number that it will have."""
        return self.seen + 1


class _OvertakenError(Exception):
    """Another process changed the route."""


Aim = Callable[[AsyncConnection, Application, Sequence[Revision]], Awaitable[_Target]]
"""From an application and its history to the state that is wanted."""


class Rollout:
    """Changes routes."""

    def __init__(
        self,
        engine: AsyncEngine,
        versions: Versions,
        replicas: Replicas,
        in_force: InForce,
        agreement: Agreement,
    ) -> None:
        self._engine = engine
        self._versions = versions
        self._replicas = replicas
        self._in_force = in_force
        self._agreement = agreement
        self._locks: dict[str, asyncio.Lock] = {}

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

        if to_revision is None and (made := await self._roll_back_warm(name, order)) is not None:
            return made

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
        decided_at, started = datetime.now(UTC), time.monotonic()
        async with self._locks.setdefault(name, asyncio.Lock()):
            async with self._engine.connect() as connection:
                application = await applications.get(connection, name)
                history = await revisions.history(connection, application.id)
                _expect(order.expected_revision, history)
                target = await aim(connection, application, history)
                line = await read_line(connection, self._versions, target.policy, target.schema)
            if order.probe is not None:
                check_probe(compile_schema(target.schema.schema), order.probe)
            change = _Change(application, order, target, len(history), decided_at)
            self._agreement.expect(application.id, change.revision)
            try:
                with self._replicas.claim(line.keys):
                    if self._in_force.is_warm(line):
                        await self._in_force.prepare(line, order.probe)
                        state = await self._record(change, None)
                    else:
                        state = await self._agree_and_record(change, line)
                    self._in_force.adopt(state)
                seconds = time.monotonic() - started
                await self._agreement.everywhere(application.id, change.revision)
            finally:
                self._agreement.forget(application.id, change.revision)
        self._told(name, state.revision, seconds)
        return state.revision

    async def _roll_back_warm(self, name: str, order: Order) -> Revision | None:
        """Return to the last good revision by what is known here; None if that is not enough.

        Everything is warm everywhere and known, so one statement is all that stands between the
        decision and the switch. Where another process was faster nothing is written.
        """
        decided_at, started = datetime.now(UTC), time.monotonic()
        async with self._locks.setdefault(name, asyncio.Lock()):
            state = self._in_force.states.get(name)
            if state is None or not state.goods or self._in_force.copied_at is not None:
                return None
            line, number = state.lines[1], state.revision.revision + 1
            if not self._in_force.is_warm(line):
                return None
            if order.expected_revision not in (None, state.revision.revision):
                return None
            application_id = state.application.id
            self._agreement.expect(application_id, number)
            try:
                with self._replicas.claim(line.keys):
                    try:
                        revision = await self._record_rollback(state, order, decided_at)
                    except _OvertakenError:
                        return None
                    after = state.rolled_back(revision)
                    assert after is not None, "it restores the last good revision"
                    self._in_force.adopt(after)
                seconds = time.monotonic() - started
                await self._agreement.everywhere(application_id, number)
            finally:
                self._agreement.forget(application_id, number)
        self._told(name, revision, seconds)
        return revision

    async def _record_rollback(
        self, state: RouteState, order: Order, decided_at: datetime
    ) -> Revision:
        # Asked while the transaction begins: both wait for turns of a busy event loop.
        probing = asyncio.ensure_future(self._in_force.prepare(state.lines[1]))
        try:
            return await self._record_probed(state, order, decided_at, probing)
        finally:
            if not probing.done():
                probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _record_probed(
        self, state: RouteState, order: Order, decided_at: datetime, probing: Awaitable[None]
    ) -> Revision:
        async with order.begin() as recording:
            await probing
            revision = await revisions.append_rollback(
                recording.connection,
                after=state.revision,
                target=state.goods[0],
                key=order.key,
                reason=order.reason,
                evidence=order.evidence,
                decided_at=decided_at,
            )
            if revision is None:
                raise _OvertakenError
            await recording.revised(revision)
        return revision

    def _told(self, name: str, revision: Revision, seconds: float) -> None:
        self._in_force.counts(name).changed(revision.kind, seconds)
        log.info(
            "route_changed application=%s revision=%d kind=%s actor=%s seconds=%.3f",
            name, revision.revision, revision.kind, revision.actor, seconds,
        )  # fmt: skip

    async def _agree_and_record(self, change: "_Change", line: Line) -> RouteState:
        target, probe = change.target, change.order.probe
        # Before anybody is asked to start within the time: environments take minutes to build.
        await self._replicas.prepare(line.versions.values())
        async with self._agreement.proposed(
            change.application.id, target.policy, target.schema, probe
        ) as proposal:
            own = self._in_force.prepare(line, probe)
            await self._agreement.reached(proposal, own, sorted(line.versions))
            return await self._record(change, proposal)

    async def _infer_schema(
        self, connection: AsyncConnection, name: str, policy: dict[str, Any]
    ) -> InputSchema:
        """The form of the reference rows of the first version that has any, or what its artefact
        says of its inputs."""
        refs = parse(policy).versions()
        found = await self._versions.by_refs(connection, refs)
        for ref in refs:
            reference = await models.find_reference(connection, found[ref].id)
            if reference is not None:
                return unkept_schema(infer_schema(reference.inputs, reference.features))
            if (told := found[ref].manifest.get("input_schema")) is not None:
                return unkept_schema(told)
        raise SchemaMissingError(name)

    async def _record(self, change: "_Change", proposal: Proposal | None) -> RouteState:
        """Write the revision, and read what is in force with it."""
        order, target, name = change.order, change.target, change.application.name
        async with order.begin() as recording:
            connection = recording.connection
            application = await applications.lock(connection, name)
            history = await revisions.history(connection, application.id)
            _expect(order.expected_revision, history)
            if len(history) != change.seen:
                # Another process changed the route while the replicas started.
                raise RevisionMovedError(change.seen, len(history))
            schema = target.schema
            if schema.id == 0:
                schema = await applications.add_schema(connection, application.id, schema)
            revision = await revisions.append(
                connection,
                application,
                revision=change.revision,
                kind=target.kind,
                restores=target.restores,
                policy=target.policy,
                input_schema_id=schema.id,
                key=order.key,
                reason=order.reason,
                evidence=order.evidence,
                decided_at=change.decided_at,
            )
            await recording.revised(revision)
            keep = self._in_force.keep_good
            state = await read_state(connection, self._versions, name, keep=keep, hold=True)
            assert state is not None, "a revision was just written"
            if proposal is not None:
                await proposal.close(connection)
        # Where the commit's outcome is unknown, the fleet's poll finds what is in force.
        if proposal is not None:
            proposal.decided = True
        return state


def _expect(expected: int | None, history: Sequence[Revision]) -> None:
    current = history[-1].revision if history else 0
    if expected is not None and expected != current:
        raise RevisionMovedError(expected, current)
