"""What answers in this process: routes switched in, and what they need kept warm."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from serving.batching import State
from serving.counters import AnswerCounts
from serving.errors import ApplicationNotFoundError, ServingError
from serving.inference import ActiveRoute, Inference
from serving.inputs import InputCodec, compile_schema
from serving.policies import Surroundings, bind, parse
from serving.records import Version
from serving.replicas import Replicas
from serving.route_states import Line, RouteState, read_state
from serving.store import applications, models
from serving.store.models import Versions

log = logging.getLogger("serving.in_force")

PROBE_ROWS = 8
"""Reference rows that a version must answer before it is given a route."""
LAST_ANSWERS = 0.5
"""Seconds past the deadlines after which no answer by the route before can come."""


class InForce:
    """The routes of one process.

    Parameters
    ----------
    keep_good
        Good revisions before the one in force whose versions stay warm.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        versions: Versions,
        replicas: Replicas,
        inference: Inference,
        *,
        keep_good: int = 1,
    ) -> None:
        self.restored = False
        """Whether the routes in force are known, from Postgres or from the local copy."""
        self.copied_at: datetime | None = None
        """When the local copy was made by which routes are served; None where Postgres said so."""
        self.states: dict[str, RouteState] = {}
        """By application."""
        self.changed = asyncio.Event()
        """Set whenever something that the local copy holds has changed."""
        self.keep_good = keep_good
        self._engine = engine
        self._versions = versions
        self._replicas = replicas
        self._inference = inference
        self._rows: dict[int, list[dict[str, Any]]] = {}
        """Reference rows for probes, by version id."""
        self._refreshing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def known(self) -> set[str]:
        """Applications that exist, with a route or without."""
        return self._inference.known

    async def refresh(self, name: str) -> None:
        """Go by what the database says of an application."""
        # One at a time: of two answers of the database, the older must not be taken last.
        async with self._refreshing:
            async with self._engine.connect() as connection:
                try:
                    state = await read_state(connection, self._versions, name, keep=self.keep_good)
                except ApplicationNotFoundError:
                    self.forget(name)
                    return
            self.know(name)
            if state is not None:
                self.adopt(state)

    async def follow(self, name: str) -> None:
        """Go by what the database says of an application, if it can be read.

        It cannot where this process is older than the one that made the route, or lacks the
        package of a custom policy. What was in force before stays.
        """
        unread = self._inference.unread
        try:
            await self.refresh(name)
        except ServingError as error:
            if unread.get(name) != error.detail:
                unread[name] = error.detail
                log.error("route_not_read application=%s why=%s", name, error.detail)
        else:
            unread.pop(name, None)

    @property
    def unread(self) -> Mapping[str, str]:
        """Why the newest route of an application could not be read."""
        return self._inference.unread

    async def restore(self, names: list[str] | None = None) -> None:
        """Put in force what the database says; replicas come up behind it."""
        if names is None:
            async with self._engine.connect() as connection:
                names = [one.name for one in await applications.every(connection)]
        for name in {*names, *self.states, *self.known}:
            # One application whose route cannot be read must not keep the others from theirs.
            await self.follow(name)
        self.restored, self.copied_at = True, None
        self._inference.restoring = False

    def adopt_copy(self, states: Mapping[str, RouteState], known: set[str], at: datetime) -> None:
        """Serve by a local copy until the database answers."""
        for name in known:
            self.know(name)
        for state in states.values():
            try:
                self.adopt(state)
            except ServingError as error:
                name = state.application.name
                log.error("route_not_restored application=%s why=%s", name, error.detail)
        self.restored, self.copied_at = True, at
        self._inference.restoring = False

    def know(self, name: str) -> None:
        """Take note that an application exists."""
        if name not in self.known:
            self.known.add(name)
            self.changed.set()

    def adopt(self, state: RouteState) -> None:
        """Let the next request go by a state, unless a newer one is in force already."""
        name, line = state.application.name, state.lines[0]
        before = self.states.get(name)
        if before is not None and (
            state == before or state.revision.revision < before.revision.revision
        ):
            return
        route = ActiveRoute(
            application=state.application,
            revision=state.revision.revision,
            codec=compile_schema(line.schema.schema),
            policy=bind(parse(state.revision.policy), self._surroundings(state)),
            queues={
                ref: self._replicas.get(version, line.schema)
                for ref, version in line.versions.items()
            },
        )
        old = self._inference.routes.get(name)
        if old is None or old.revision != route.revision:
            for queue in route.queues.values():
                queue.purge_cache()
        # The switch: one assignment between two requests.
        self._inference.routes[name] = route
        self.states[name] = state
        self.know(name)
        self.counts(name)
        self.changed.set()
        # The last good revision stays warm: a rollback then has nothing to start.
        self._replicas.need(name, state.keys)
        for one in state.lines:
            for version in one.versions.values():
                if self._replicas.get(version, one.schema).state != State.READY:
                    trying = self._replicas.keep_trying(version, one.schema)
                    self.spawn(trying, f"restore {version.ref}")
        if old is not None and old.revision != route.revision:
            old.replaced = True
            self.spawn(self._note_last_answer(old, state), f"last answer {name}")

    def _surroundings(self, state: RouteState) -> Surroundings:
        """What a policy in force may look at: the revision's age, and what feedback taught."""
        made, application_id = state.revision.created_at.timestamp(), state.application.id
        learned = self._inference.learned
        return Surroundings(
            age=lambda: time.time() - made,
            experience=lambda policy, key: learned.experience(application_id, policy, key),
        )

    def forget(self, name: str) -> None:
        """Stop answering for an application that is gone."""
        self._inference.routes.pop(name, None)
        self._inference.unread.pop(name, None)
        self._inference.known.discard(name)
        self._inference.counts.pop(name, None)
        self.states.pop(name, None)
        self._replicas.need(name, ())
        self.changed.set()

    async def _note_last_answer(self, old: ActiveRoute, state: RouteState) -> None:
        """Measure how long after the decision the route before still answered."""
        switched = time.time()
        await asyncio.sleep(old.objective + LAST_ANSWERS)
        revision = state.revision
        decided = (revision.decided_at or revision.created_at).timestamp()
        seconds = max(old.last_answer, switched) - decided
        name = state.application.name
        self.counts(name).ended(revision.kind, max(seconds, 0.0))

    def counts(self, name: str) -> AnswerCounts:
        """What is counted of an application."""
        return self._inference.count(name)

    def waiting(self) -> list[str]:
        """Applications of which a version in force is not ready."""
        return [
            name
            for name, route in self._inference.routes.items()
            if any(queue.state != State.READY for queue in route.queues.values())
        ]

    def is_warm(self, line: Line) -> bool:
        """Whether routes keep everything warm that a policy needs, here and in every process."""
        kept = frozenset[object]().union(*(state.keys for state in self.states.values()))
        return line.keys <= kept and self._replicas.are_ready(line.keys)

    async def prepare(self, line: Line, probe: Mapping[str, Any] | list[Any] | None = None) -> None:
        """Start what is not running; ask each version by the path that requests take.

        Parameters
        ----------
        probe
            An input that every version must answer; the version's own reference rows without.

        Raises
        ------
        VersionFailedToStartError, ProbeFailedError
            If a version does not come up in time.
        """
        codec = compile_schema(line.schema.schema)

        async def one(version: Version) -> None:
            queue = await self._replicas.ready(version, line.schema)
            rows = [probe] if probe is not None else await self._reference(version)
            await self._replicas.probe(queue, codec, rows)

        # All come to their end before the first failure is told: none is left half started.
        versions = line.versions.values()
        for outcome in await asyncio.gather(*map(one, versions), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _reference(self, version: Version) -> list[dict[str, Any]]:
        """Rows for the probe; a rollback must not wait for them, so they are kept."""
        rows = self._rows.get(version.id)
        if not rows:
            async with self._engine.connect() as connection:
                rows = await models.first_reference_rows(connection, version.id, PROBE_ROWS)
            self._rows[version.id] = rows
        return rows

    async def stop(self) -> None:
        """End what is under way, and all replicas."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._replicas.stop()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Do something that ends with the process at the latest."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed task=%s", task.get_name(), exc_info=error)


def check_probe(codec: InputCodec, probe: Mapping[str, Any] | list[Any]) -> None:
    """Refuse a probe that no request could be.

    Raises
    ------
    InvalidInputError
        With every field that is wrong, from `/probe` on.
    """
    codec.check(probe, "/probe")
