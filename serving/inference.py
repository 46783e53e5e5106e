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
from serving.batch import Outcome
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
)
from serving.ids import new_prediction_id
from serving.journal import Journal, Ticket
from serving.learned import Learned
from serving.members import COMBINE_SHARE, Told
from serving.pieces import PIECE_ROWS, in_pieces
from serving.prediction import Prediction
from serving.recording import Recorder
from serving.request import Request, Tell
from serving.shadows import Shadows

__all__ = [
    "FLAG_CACHED", "FLAG_COMBINED", "FLAG_DEFAULT", "FLAG_PINNED", "FLAG_SHADOW", "ActiveRoute",
    "Inference", "Prediction",
]  # fmt: skip

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
        self.restoring = False
        """Whether the routes in force are still being read: what is not there may yet come."""
        self.unread: dict[str, str] = {}
        """Why the newest route of an application could not be read; tried again and again."""
        self.learned = Learned()
        """What feedback taught; policies in force look here."""
        self._journal = journal
        self._uniform = (random or Random()).random
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recorder = Recorder(journal)
        self.counts = self._recorder.counts
        """By application, for metrics."""
        self._shadows = Shadows(self._recorder)

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
        if self.restoring or application in self.unread:
            raise StartingError
        if application in self.known:
            raise RouteNotFoundError(application)
        raise ApplicationNotFoundError(application)

    def count(self, application: str) -> AnswerCounts:
        """The application's counters."""
        return self._recorder.count(application)

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
        with route.held():
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

        The first `PIECE_ROWS` are handed over before this returns: a route that is switched while
        they are awaited drains queues that have them. Who asks for more holds the route meanwhile.

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

        def ask(some: Sequence[bytes]) -> list[Request]:
            return [self._ask(route, block, context, one_told) for block in some]

        if not blocks:
            everybody.set_result(None)
        asked = ask(blocks[:PIECE_ROWS])

        async def go_on() -> list[Prediction | OverloadedError]:
            if len(blocks) > PIECE_ROWS:
                await asyncio.sleep(0)
                async for some in in_pieces(blocks[PIECE_ROWS:]):
                    asked.extend(ask(some))
            await everybody
            return await self._answer_all(route, asked, together)

        return go_on()

    async def _answer_all(
        self, route: ActiveRoute, asked: Sequence[Request], together: bool
    ) -> list[Prediction | OverloadedError]:
        """Record what came of the rows, all of which are told."""
        told = [_told(request) for request in asked]
        refused = [one.answer.outcome is Outcome.OVERLOADED for one in told]
        if together and any(refused):
            raise self._refused(route, told[refused.index(True)])
        results: list[Prediction | OverloadedError] = []
        tickets = []
        async for some in in_pieces(list(zip(asked, told, refused, strict=True))):
            ticket = None
            for request, said, is_refused in some:
                if is_refused:
                    results.append(self._refused(route, said))
                else:
                    prediction, ticket = self._recorder.record(request, said)
                    results.append(prediction)
            if ticket is not None:
                # What was recorded in one turn is kept, and shipped, as one.
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
                self._shadows.ask(request, shadow)
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
            prediction, ticket = self._recorder.record(request, told)
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

    async def settle(self, within: timedelta) -> bool:
        """Wait until every shadow that was asked is recorded or lost; False if time ran out."""
        return await self._shadows.settle(within)


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
