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
    OverloadedError,
    RouteNotFoundError,
    StartingError,
    UnavailableError,
)
from serving.ids import new_prediction_id, text_of
from serving.inputs import InputCodec
from serving.journal import Journal, Ticket
from serving.learned import Learned
from serving.members import COMBINE_SHARE, Gathering, Members, Told, Voice
from serving.policies import Choice, Policy
from serving.policies.base import context_keys
from serving.policies.single import Single
from serving.records import Application

FLAG_DEFAULT = 1
FLAG_CACHED = 2
FLAG_SHADOW = 4
FLAG_PINNED = 8
"""The client named the version: nothing was chosen, so no test of a random split may count it."""
FLAG_COMBINED = 16
"""The output was made of several versions' answers; the row names the first of them."""

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
        kept = frozenset(application.context_keys)
        # What the policy goes by is kept in any case: feedback must find its way back to it.
        self._kept = kept | context_keys(policy) if kept else kept
        self.members = Members(self.queues, numeric=application.task == "regression")
        """Asks where the policy wants several answers for one request."""
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
    cached: bool = False
    """Whether the output was kept from an equal input."""
    told: Told | None = None
    """What several versions said, where several were asked for this answer."""

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
        if self.told is not None:
            parts.append(_of_members(self.told))
        parts.append(
            b',"cached":%s,"latency_ms":%.3f,"predicted_at":"%s.%06dZ"}'
            % (
                b"true" if self.cached else b"false",
                self.latency_us / 1000, _moment(seconds), micros,
            )
        )  # fmt: skip
        return b"".join(parts)


def _of_members(told: Told) -> bytes:
    """How many answered together, and how far they agreed."""
    counts = b',"members":{"asked":%d,"answered":%d}' % (len(told.voices), told.took_part)
    if told.agreement is None:
        return counts
    return b'%s,"agreement":%.6g' % (counts, told.agreement)


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
    answer: "asyncio.Future[Answer] | Gathering"

    async def told(self) -> Told:
        """What it comes to."""
        if isinstance(self.answer, Gathering):
            return await self.answer.told()
        return Told(self.choice.primary, await self.answer)


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
        self.learned = Learned()
        """What feedback taught; policies in force look here."""
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
        OverloadedError
            If it would have come too late; there is no record of it.
        """
        asked = self._ask(route, block, context)
        told = await asked.told()
        if told.answer.outcome is Outcome.OVERLOADED:
            raise self._refused(route, told)
        prediction, ticket = self._record(asked, told)
        await self._wait_for(ticket, route)
        return prediction

    async def predict_all(
        self, route: ActiveRoute, blocks: Sequence[bytes], context: Mapping[str, Any] | None = None
    ) -> list[Prediction]:
        """Answer several rows or none of them; raises as `predict` does."""
        predictions = await self.predict_many(route, blocks, context, together=True)
        return [one for one in predictions if isinstance(one, Prediction)]

    async def predict_many(
        self,
        route: ActiveRoute,
        blocks: Sequence[bytes],
        context: Mapping[str, Any] | None = None,
        *,
        together: bool = False,
    ) -> list[Prediction | OverloadedError]:
        """Answer several rows, each as `predict` would, in their order.

        Parameters
        ----------
        together
            One row that is refused refuses all; else its error stands in its place.
        """
        # All are handed over before anything is awaited: a route that is switched meanwhile
        # drains a queue which has them.
        asked = [self._ask(route, block, context) for block in blocks]
        told = await asyncio.gather(*(one.told() for one in asked))
        results: list[Prediction | OverloadedError] = []
        tickets = []
        refused = [one.answer.outcome is Outcome.OVERLOADED for one in told]
        if together and any(refused):
            raise self._refused(route, told[refused.index(True)])
        for row, said, is_refused in zip(asked, told, refused, strict=True):
            if is_refused:
                results.append(self._refused(route, said))
                continue
            prediction, ticket = self._record(row, said)
            results.append(prediction)
            tickets.append(ticket)
        for ticket in tickets:
            await self._wait_for(ticket, route)
        return results

    def _refused(self, route: ActiveRoute, told: Told) -> OverloadedError:
        """Count a row that was turned away at the door."""
        refused = self.count(route.application.name).refused
        refused[told.version] = refused.get(told.version, 0) + 1
        return OverloadedError(told.answer.error)

    def _ask(self, route: ActiveRoute, block: bytes, context: Mapping[str, Any] | None) -> "_Asked":
        """Hand a row to the versions that the policy chooses."""
        if self._journal.is_full:
            raise JournalFullError(self._journal.backlog.size, self._journal.limit_bytes)
        at_us = time.time_ns() // 1000
        started = time.perf_counter()
        choice = route.policy.choose(context, self._uniform())
        deadline = asyncio.get_running_loop().time() + route.objective
        answer: asyncio.Future[Answer] | Gathering
        if choice.members or choice.stages:
            deadline -= COMBINE_SHARE * route.objective
            answer = route.members.ask(choice, block, deadline, started)
        else:
            answer = route.queues[choice.primary].submit(block, deadline)
        asked = _Asked(
            route, choice, block, route.kept_context(context), new_prediction_id(at_us), at_us,
            started, answer,
        )  # fmt: skip
        if choice.shadows and not _is_refused(answer):
            for shadow in choice.shadows:
                self._ask_shadow(asked, shadow)
        return asked

    def _record(self, asked: "_Asked", told: Told) -> tuple[Prediction, Ticket]:
        """Give the record of an answer to the journal."""
        seconds = time.perf_counter() - asked.started
        route, version, answer = asked.route, told.version, told.answer
        reason = answer.outcome
        default = reason is not Outcome.ANSWERED
        prediction = Prediction(
            asked.id, route, version, route.default if default else answer.output, answer.scores,
            reason, int(seconds * 1e6), asked.at_us, answer.cached, told if told.voices else None,
        )  # fmt: skip
        flags = route.flags
        if default:
            flags |= FLAG_DEFAULT
        elif answer.cached:
            flags |= FLAG_CACHED
        if told.combined:
            flags |= FLAG_COMBINED
        row = encode_prediction(
            asked.at_us, asked.id, route.queues[version].version.id, route.application.id,
            route.revision, flags, int(reason) if default else None, prediction.latency_us,
            asked.choice.propensity, asked.block, prediction.output, answer.scores, asked.context,
        )  # fmt: skip
        ticket = self._journal.append_prediction(row, asked.at_us)
        if route.replaced:
            route.last_answer = time.time()
        counts = self.count(route.application.name)
        counts.histogram(version).observe(seconds)
        if default:
            kind = (version, int(reason))
            counts.defaults[kind] = counts.defaults.get(kind, 0) + 1
        if told.voices:
            self._record_voices(asked, told)
        return prediction, ticket

    def _record_voices(self, asked: "_Asked", told: Told) -> None:
        """Record what each of several versions said by itself, as shadows are."""
        route = asked.route
        members = self.count(route.application.name).members
        if told.agreement is not None:
            members.agreement.observe(told.agreement)
        for voice in told.voices:
            members.count(voice.version, int(voice.answer.outcome))
            if voice.answer.outcome is not Outcome.ANSWERED:
                continue
            at_us = asked.at_us
            if voice.version == told.version:
                if not told.combined:
                    # Its own answer is the one that left.
                    continue
                # The common answer has its place in the primary key already.
                at_us = _beside(at_us)
            self._record_beside(asked, voice, at_us)

    def _record_beside(self, asked: "_Asked", voice: Voice, at_us: int) -> None:
        """Record one version's own answer beside the one that left."""
        route, answer = asked.route, voice.answer
        row = encode_prediction(
            at_us, asked.id, route.queues[voice.version].version.id, route.application.id,
            route.revision, FLAG_SHADOW | (FLAG_CACHED if answer.cached else 0), None,
            int(voice.seconds * 1e6), asked.choice.propensity, asked.block, answer.output,
            answer.scores, asked.context,
        )  # fmt: skip
        counts = self.count(route.application.name)
        try:
            self._journal.append_prediction(row, at_us)
        except UnavailableError as error:
            self._shadow_lost(route.application.name, voice.version, 0, error.detail)
            return
        counts.shadows[voice.version] = counts.shadows.get(voice.version, 0) + 1

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
        voice = Voice(shadow, answer, time.perf_counter() - asked.started)
        self._record_beside(asked, voice, asked.at_us)

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


def _is_refused(answer: "asyncio.Future[Answer] | Gathering") -> bool:
    """Whether a single version turned the row away at the door: a shadow has nothing to compare."""
    if isinstance(answer, Gathering) or not answer.done():
        return False
    return answer.result().outcome is Outcome.OVERLOADED


def _beside(at_us: int) -> int:
    """The neighbouring microsecond within the same millisecond, which is the one in the id."""
    return at_us + 1 if at_us % 1000 < 999 else at_us - 1
