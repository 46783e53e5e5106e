"""One prediction: route, batch, answer or default by the deadline, journal."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from serving.active_route import (
    FLAG_CACHED,
    FLAG_COMBINED,
    FLAG_DEFAULT,
    FLAG_PINNED,
    FLAG_SHADOW,
    ActiveRoute,
)
from serving.batch import Answer, Outcome
from serving.copy_format import encode_prediction
from serving.counters import AnswerCounts
from serving.errors import (
    ApplicationNotFoundError,
    DatabaseUnavailableError,
    InternalError,
    JournalFullError,
    OverloadedError,
    RouteNotFoundError,
    ServingError,
    StartingError,
    UnavailableError,
)
from serving.ids import new_prediction_id
from serving.journal import Journal, Ticket
from serving.learned import Learned
from serving.members import COMBINE_SHARE, Told, Voice
from serving.prediction import Prediction
from serving.request import Request, Tell

__all__ = [
    "FLAG_CACHED", "FLAG_COMBINED", "FLAG_DEFAULT", "FLAG_PINNED", "FLAG_SHADOW", "ActiveRoute",
    "Inference", "Prediction",
]  # fmt: skip

SHADOW_DEADLINE = 30.0
"""Seconds in which a shadow may answer: it has no caller, and a pair is worth the wait."""
DURABLE_WITHIN = 10.0
"""Longest wait in seconds for Postgres under durability `before`; then the client gets 503."""

log = logging.getLogger("serving.inference")


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
        self._loop: asyncio.AbstractEventLoop | None = None
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

    def predict(
        self, route: ActiveRoute, block: bytes, context: Mapping[str, Any] | None = None
    ) -> "asyncio.Future[Prediction]":
        """Answer one row; its record is where the application's durability wants it before.

        The row is handed over before this returns.

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
        future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self.ask(route, block, context, partial(_settle, future))
        return future

    def ask(
        self, route: ActiveRoute, block: bytes, context: Mapping[str, Any] | None, tell: Tell
    ) -> None:
        """Answer one row as `predict` does, without a task that waits.

        Parameters
        ----------
        tell
            Called once with the prediction or the `ServingError`, perhaps before this returns;
            must not raise.
        """
        self._ask(route, block, context, partial(self._answer, tell))

    async def predict_all(
        self, route: ActiveRoute, blocks: Sequence[bytes], context: Mapping[str, Any] | None = None
    ) -> list[Prediction]:
        """Answer several rows or none of them; raises as `predict` does."""
        predictions = await self.predict_many(route, blocks, context, together=True)
        return [one for one in predictions if isinstance(one, Prediction)]

    def predict_many(
        self,
        route: ActiveRoute,
        blocks: Sequence[bytes],
        context: Mapping[str, Any] | None = None,
        *,
        together: bool = False,
    ) -> Coroutine[None, None, list[Prediction | OverloadedError]]:
        """Answer several rows, each as `predict` would, in their order.

        They are handed over before this returns: a route that is switched while they are awaited
        drains queues that have them.

        Parameters
        ----------
        together
            One row that is refused refuses all; else its error stands in its place.
        """
        everybody: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        missing = len(blocks)

        def one_told(_: Request) -> None:
            nonlocal missing
            missing -= 1
            if not missing and not everybody.done():
                everybody.set_result(None)

        asked = [self._ask(route, block, context, one_told) for block in blocks]
        if not asked:
            everybody.set_result(None)
        return self._answer_all(route, asked, everybody, together)

    async def _answer_all(
        self,
        route: ActiveRoute,
        asked: Sequence[Request],
        everybody: "asyncio.Future[None]",
        together: bool,
    ) -> list[Prediction | OverloadedError]:
        """Record what came of the rows once all of them are told."""
        await everybody
        told = [_told(request) for request in asked]
        results: list[Prediction | OverloadedError] = []
        tickets = []
        refused = [one.answer.outcome is Outcome.OVERLOADED for one in told]
        if together and any(refused):
            raise self._refused(route, told[refused.index(True)])
        for request, said, is_refused in zip(asked, told, refused, strict=True):
            if is_refused:
                results.append(self._refused(route, said))
                continue
            prediction, ticket = self._record(request, said)
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

    def _ask(
        self,
        route: ActiveRoute,
        block: bytes,
        context: Mapping[str, Any] | None,
        on_told: Callable[[Request], None],
    ) -> Request:
        """Hand a row to the versions that the policy chooses."""
        if self._journal.is_full:
            raise JournalFullError(self._journal.backlog.size, self._journal.limit_bytes)
        at_us = time.time_ns() // 1000
        started = time.perf_counter()
        choice = route.policy.choose(context, self._uniform())
        deadline = (self._loop or self._find_loop()).time() + route.objective
        request = Request(
            route, choice, block, route.kept_context(context) if context else None,
            new_prediction_id(at_us), at_us, started, on_told,
        )  # fmt: skip
        if choice.members or choice.stages:
            deadline -= COMBINE_SHARE * route.objective
            route.members.ask(choice, block, deadline, started, request.take)
        else:
            route.queues[choice.primary].ask(block, deadline, request)
        # One that was turned away at the door leaves a shadow nothing to compare with.
        if choice.shadows and not _is_refused(request):
            for shadow in choice.shadows:
                self._ask_shadow(request, shadow)
        return request

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        # Asked for once: each look at the running loop is a system call before Python 3.12.
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _answer(self, tell: Tell, request: Request) -> None:
        """Record what a request came to, and tell of it when its record is safe enough."""
        try:
            told = _told(request)
            if told.answer.outcome is Outcome.OVERLOADED:
                raise self._refused(request.route, told)
            prediction, ticket = self._record(request, told)
        except ServingError as error:
            tell(error)
            return
        except Exception:
            # This may be the middle of a batch, whose other rows get their answers.
            log.exception("answer_failed application=%s", request.route.application.name)
            tell(InternalError())
            return
        durability = request.route.application.durability
        if durability == "journal":
            ticket.on_kept(partial(_leave, tell, prediction))
        elif durability == "before":
            ticket.on_kept(partial(_leave_once_shipped, tell, prediction, ticket))
        else:
            tell(prediction)

    def _record(self, asked: Request, told: Told) -> tuple[Prediction, Ticket]:
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

    def _record_voices(self, asked: Request, told: Told) -> None:
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

    def _record_beside(self, asked: Request, voice: Voice, at_us: int) -> None:
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

    def _ask_shadow(self, asked: Request, shadow: str) -> None:
        """Ask a shadow; its answer is recorded when it comes, and delays nobody."""
        objective = asked.route.objective
        deadline = asyncio.get_running_loop().time() + max(SHADOW_DEADLINE, objective)
        self._shadows += 1
        self._idle.clear()
        future = asked.route.queues[shadow].submit(asked.block, deadline, background=True)
        future.add_done_callback(partial(self._record_shadow, asked, shadow))

    def _record_shadow(self, asked: Request, shadow: str, future: "asyncio.Future[Answer]") -> None:
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


def _told(request: Request) -> Told:
    """What a request came to; raises what went wrong."""
    told = request.told
    assert told is not None, "it was waited for"
    if isinstance(told, Exception):
        raise told
    return told


def _is_refused(request: Request) -> bool:
    """Whether it was turned away at the door already."""
    told = request.told
    return isinstance(told, Told) and told.answer.outcome is Outcome.OVERLOADED


def _settle(future: "asyncio.Future[Prediction]", result: Prediction | ServingError) -> None:
    """Give a result to somebody who may have gone."""
    if future.done():
        return
    if isinstance(result, Prediction):
        future.set_result(result)
    else:
        future.set_exception(result)


def _leave(tell: Tell, prediction: Prediction, error: Exception | None) -> None:
    """Let an answer go, unless its record was not kept."""
    if error is None or isinstance(error, ServingError):
        tell(error or prediction)
    else:
        log.error("record_failed error=%r", error)
        tell(InternalError())


def _leave_once_shipped(
    tell: Tell, prediction: Prediction, ticket: Ticket, error: Exception | None
) -> None:
    """Let an answer go when Postgres has its record too."""
    if error is None:
        ticket.on_shipped(partial(_leave, tell, prediction), DURABLE_WITHIN)
    else:
        _leave(tell, prediction, error)


def _beside(at_us: int) -> int:
    """The neighbouring microsecond within the same millisecond, which is the one in the id."""
    return at_us + 1 if at_us % 1000 < 999 else at_us - 1
