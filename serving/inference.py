"""One prediction: route, batch, answer or default by the deadline, journal."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import msgspec

from serving.batching import Answer, BatchQueue, Outcome
from serving.copy_format import encode_prediction
from serving.counters import AnswerCounts
from serving.errors import (
    ApplicationNotFoundError,
    DatabaseUnavailableError,
    JournalFullError,
    RouteNotFoundError,
    StartingError,
    UnavailableError,
)
from serving.ids import new_prediction_id, text_of
from serving.inputs import InputCodec
from serving.journal import Journal, Ticket
from serving.policies import Choice, Policy
from serving.policies.single import Single
from serving.records import Application

FLAG_DEFAULT = 1
FLAG_CACHED = 2
FLAG_SHADOW = 4
FLAG_PINNED = 8
"""The client named the version: nothing was chosen, so no test of a random split may count it."""

SHADOW_DEADLINE = 30.0
"""Seconds in which a shadow may answer: it has no caller, and a pair is worth the wait."""
DURABLE_WITHIN = 10.0
"""Longest wait in seconds for Postgres under durability `before`; then the client gets 503."""

log = logging.getLogger("serving.inference")


class ActiveRoute:
    """A route in force, with all that a request needs; never changed, only replaced."""

    def __init__(
        self,
        *,
        application: Application,
        revision: int,
        codec: InputCodec,
        policy: Policy,
        queues: Mapping[str, BatchQueue],
        flags: int = 0,
    ) -> None:
        """Put a route together.

        Parameters
        ----------
        queues
            By version reference: one for each of the policy's versions.
        flags
            Of every prediction's record.
        """
        self.application = application
        self.revision = revision
        self.codec = codec
        self.policy = policy
        self.queues = dict(queues)
        self.flags = flags
        self.objective = application.latency_objective.total_seconds()
        """Seconds from arrival to the deadline."""
        self.default = json.dumps(application.default_output).encode()
        """JSON text of the default output."""
        self.replaced = False
        """Whether another revision has taken its place; what was asked before is still answered."""
        self.last_answer = 0.0
        """When it last answered after that, in seconds since 1970."""
        self._kept = frozenset(application.context_keys)
        # What stays the same in every answer of one version, written once.
        self.heads = {ref: _head(application.name, revision, queue) for ref, queue in
                      self.queues.items()}  # fmt: skip

    def pinned(self, ref: str) -> "ActiveRoute":
        """This route with one of its versions alone, for a client that names it."""
        return ActiveRoute(
            application=self.application, revision=self.revision, codec=self.codec,
            policy=Single(ref), queues={ref: self.queues[ref]}, flags=self.flags | FLAG_PINNED,
        )  # fmt: skip

    def kept_context(self, context: Mapping[str, Any] | None) -> bytes | None:
        """JSON text of the part of a context that the application keeps."""
        if not context:
            return None
        if self._kept:
            context = {name: value for name, value in context.items() if name in self._kept}
        return msgspec.json.encode(context) if context else None


def _head(application: str, revision: int, queue: BatchQueue) -> bytes:
    version = queue.version
    return (
        f'","application":{json.dumps(application)},"revision":{revision},'
        f'"model":{json.dumps(version.model)},"version":{json.dumps(version.version)},"output":'
    ).encode()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request."""

    id: bytes
    route: ActiveRoute
    version: str
    """The version that was chosen, as `model:version`."""
    output: bytes
    """JSON text."""
    scores: bytes | None
    """Little-endian float64."""
    reason: Outcome
    """Why the output is the default; `ANSWERED` where it is not."""
    latency_us: int
    predicted_at_us: int

    def to_json(self) -> bytes:
        """The body of the answer."""
        seconds, micros = divmod(self.predicted_at_us, 1_000_000)
        parts = [
            b'{"id":"', text_of(self.id).encode(), self.route.heads[self.version], self.output,
        ]  # fmt: skip
        if self.scores is not None:
            numbers = memoryview(self.scores).cast("d").tolist()
            parts += (b',"scores":', msgspec.json.encode(numbers))
        if self.reason is Outcome.ANSWERED:
            parts.append(b',"default":false')
        else:
            name = self.reason.name.lower()
            parts.append(b',"default":true,"default_reason":"%s"' % name.encode())
        parts.append(
            b',"cached":false,"latency_ms":%.3f,"predicted_at":"%s.%06dZ"}'
            % (self.latency_us / 1000, _moment(seconds), micros)
        )
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One row that a version has been asked."""

    route: ActiveRoute
    choice: Choice
    block: bytes
    context: bytes | None
    """JSON text of what is kept of it."""
    id: bytes
    at_us: int
    """Arrival, microseconds since 1970."""
    started: float
    """Arrival by the clock that measures latency."""
    future: "asyncio.Future[Answer]"


class _Clock:
    """The text of the second that most answers of a moment share."""

    second = -1
    text = b""


def _moment(second: int) -> bytes:
    if _Clock.second != second:
        _Clock.text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        _Clock.second = second
    return _Clock.text


class Inference:
    """Answers requests by the routes in force."""

    def __init__(self, journal: Journal, *, random: Random | None = None) -> None:
        """Begin without routes.

        Parameters
        ----------
        random
            Source of the policies' chances; the system's own without.
        """
        self.routes: dict[str, ActiveRoute] = {}
        """By application; one assignment switches a route between two requests."""
        self.known: set[str] = set()
        """Applications that exist, with a route or without; kept by whoever sets the routes."""
        self.counts: dict[str, AnswerCounts] = {}
        """By application, for metrics."""
        self.restoring = False
        """Whether the routes in force are still being read: what is not there may yet come."""
        self._journal = journal
        self._uniform = (random or Random()).random
        self._shadows = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def route(self, application: str) -> ActiveRoute:
        """The route of an application.

        Raises
        ------
        RouteNotFoundError, ApplicationNotFoundError
            If there is none.
        StartingError
            If there is none yet.
        """
        route = self.routes.get(application)
        if route is not None:
            return route
        if self.restoring:
            raise StartingError
        if application in self.known:
            raise RouteNotFoundError(application)
        raise ApplicationNotFoundError(application)

    def count(self, application: str) -> AnswerCounts:
        """The application's counters."""
        counts = self.counts.get(application)
        if counts is None:
            counts = self.counts[application] = AnswerCounts()
        return counts

    async def predict(
        self, route: ActiveRoute, block: bytes, context: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Answer one row; its record is where the application's durability wants it before.

        Parameters
        ----------
        block
            The row, encoded by the route's codec.

        Raises
        ------
        UnavailableError
            If the answer could not be recorded, so none is given.
        """
        asked = self._ask(route, block, context)
        prediction, ticket = self._record(asked, await asked.future)
        await self._wait_for(ticket, route)
        return prediction

    async def predict_many(
        self, route: ActiveRoute, blocks: Sequence[bytes], context: Mapping[str, Any] | None = None
    ) -> list[Prediction]:
        """Answer several rows, each as `predict` would, in their order."""
        # All are handed over before anything is awaited: a route that is switched meanwhile
        # drains a queue which has them.
        asked = [self._ask(route, block, context) for block in blocks]
        answers = await asyncio.gather(*(one.future for one in asked))
        recorded = [self._record(*pair) for pair in zip(asked, answers, strict=True)]
        for _, ticket in recorded:
            await self._wait_for(ticket, route)
        return [prediction for prediction, _ in recorded]

    def _ask(self, route: ActiveRoute, block: bytes, context: Mapping[str, Any] | None) -> "_Asked":
        """Hand a row to the versions that the policy chooses."""
        if self._journal.is_full:
            raise JournalFullError(self._journal.backlog.size, self._journal.limit_bytes)
        at_us = time.time_ns() // 1000
        started = time.perf_counter()
        choice = route.policy.choose(context, self._uniform())
        deadline = asyncio.get_running_loop().time() + route.objective
        asked = _Asked(
            route, choice, block, route.kept_context(context), new_prediction_id(at_us), at_us,
            started, route.queues[choice.primary].submit(block, deadline),
        )  # fmt: skip
        for shadow in choice.shadows:
            self._ask_shadow(asked, shadow)
        return asked

    def _record(self, asked: "_Asked", answer: Answer) -> tuple[Prediction, Ticket]:
        """Give the record of an answer to the journal."""
        seconds = time.perf_counter() - asked.started
        route, version = asked.route, asked.choice.primary
        reason = answer.outcome
        default = reason is not Outcome.ANSWERED
        prediction = Prediction(
            asked.id, route, version, route.default if default else answer.output, answer.scores,
            reason, int(seconds * 1e6), asked.at_us,
        )  # fmt: skip
        row = encode_prediction(
            asked.at_us, asked.id, route.queues[version].version.id, route.application.id,
            route.revision, route.flags | (FLAG_DEFAULT if default else 0),
            int(reason) if default else None, prediction.latency_us, asked.choice.propensity,
            asked.block, prediction.output, answer.scores, asked.context,
        )  # fmt: skip
        ticket = self._journal.append_prediction(row, asked.at_us)
        if route.replaced:
            route.last_answer = time.time()
        counts = self.count(route.application.name)
        counts.histogram(version).observe(seconds)
        if default:
            kind = (version, int(reason))
            counts.defaults[kind] = counts.defaults.get(kind, 0) + 1
        return prediction, ticket

    async def _wait_for(self, ticket: Ticket, route: ActiveRoute) -> None:
        durability = route.application.durability
        if durability == "journal":
            await ticket.kept()
        elif durability == "before":
            try:
                async with asyncio.timeout(DURABLE_WITHIN):
                    await ticket.shipped()
            except TimeoutError as error:
                raise DatabaseUnavailableError from error

    def _ask_shadow(self, asked: "_Asked", shadow: str) -> None:
        """Ask a shadow; its answer is recorded when it comes, and delays nobody."""
        objective = asked.route.objective
        deadline = asyncio.get_running_loop().time() + max(SHADOW_DEADLINE, objective)
        self._shadows += 1
        self._idle.clear()
        future = asked.route.queues[shadow].submit(asked.block, deadline, background=True)
        future.add_done_callback(partial(self._record_shadow, asked, shadow))

    def _record_shadow(
        self, asked: "_Asked", shadow: str, future: "asyncio.Future[Answer]"
    ) -> None:
        self._shadows -= 1
        if not self._shadows:
            self._idle.set()
        answer, route = future.result(), asked.route
        name = route.application.name
        if answer.outcome is not Outcome.ANSWERED:
            self._shadow_lost(name, shadow, int(answer.outcome), answer.error)
            return
        row = encode_prediction(
            asked.at_us, asked.id, route.queues[shadow].version.id, route.application.id,
            route.revision, FLAG_SHADOW, None, int((time.perf_counter() - asked.started) * 1e6),
            asked.choice.propensity, asked.block, answer.output, answer.scores, asked.context,
        )  # fmt: skip
        try:
            self._journal.append_prediction(row, asked.at_us)
        except UnavailableError as error:
            self._shadow_lost(name, shadow, 0, error.detail)
            return
        shadows = self.count(name).shadows
        shadows[shadow] = shadows.get(shadow, 0) + 1

    def _shadow_lost(self, application: str, shadow: str, reason: int, why: str) -> None:
        lost = self.count(application).shadows_lost
        kind = (shadow, reason)
        lost[kind] = lost.get(kind, 0) + 1
        # Every thousandth: a shadow that is down would fill the log.
        if lost[kind] % 1000 == 1:
            log.warning(
                "shadow_lost application=%s version=%s count=%d why=%s",
                application, shadow, lost[kind], why,
            )  # fmt: skip

    async def settle(self, within: timedelta) -> bool:
        """Wait until every shadow that was asked is recorded or lost; False if time ran out."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
