"""Asks the versions that answer one request together, at once or one after the other."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from serving.batching import Answer, BatchQueue, Outcome
from serving.policies.base import Choice, Combination, MemberAnswer, Shortfall, Stage
from serving.policies.cascade import is_sure

COMBINE_SHARE = 0.05
"""Part of an objective that is kept for combining: members must answer before."""

_SHORTFALLS = {
    Shortfall.TOO_FEW_MEMBERS: Outcome.TOO_FEW_MEMBERS,
    Shortfall.LOW_AGREEMENT: Outcome.LOW_AGREEMENT,
}

Waiting = asyncio.Future[Answer]


@dataclass(slots=True)
class _Asked:
    """One version that was asked."""

    version: str
    future: Waiting
    seconds: float = 0.0
    """From the request's arrival until it answered."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What one version said, beside the answer that left."""

    version: str
    answer: Answer
    seconds: float


@dataclass(frozen=True, slots=True)
class Told:
    """What a request came to."""

    version: str
    """Under whose name the answer is recorded."""
    answer: Answer
    voices: tuple[Voice, ...] = ()
    """All that were asked, in their order; empty where one version was asked alone."""
    agreement: float | None = None
    combined: bool = False
    """Whether the output was made of several."""

    @property
    def took_part(self) -> int:
        """How many of the voices answered in time."""
        return sum(voice.answer.outcome is Outcome.ANSWERED for voice in self.voices)


class Members:
    """The versions of one route, asked together."""

    def __init__(self, queues: Mapping[str, BatchQueue], *, numeric: bool) -> None:
        """Begin.

        Parameters
        ----------
        numeric
            Whether outputs are numbers rather than classes.
        """
        self._queues = queues
        self._numeric = numeric
        self._classes: dict[str, tuple[bytes, ...]] = {}

    def ask(self, choice: Choice, block: bytes, deadline: float, started: float) -> "Gathering":
        """Hand a row to all members, or to the first stage.

        Parameters
        ----------
        deadline
            By the event loop's clock.
        started
            Arrival, by the clock that measures latency.
        """
        first = choice.members or (choice.stages[0].version,)
        gathering = Gathering(self, choice, block, deadline, started)
        for version in first:
            gathering.ask(version)
        return gathering

    def submit(self, version: str, block: bytes, deadline: float) -> Waiting:
        """Hand a row to one version."""
        return self._queues[version].submit(block, deadline)

    def said(self, version: str, answer: Answer) -> MemberAnswer | None:
        """An answer as policies see it."""
        if answer.outcome is not Outcome.ANSWERED:
            return None
        classes = self._classes.get(version)
        if classes is None:
            hello = self._queues[version].hello
            classes = tuple(
                json.dumps(one).encode() for one in (hello.classes if hello else None) or ()
            )
            if hello is not None:
                self._classes[version] = classes
        return MemberAnswer(answer.output, answer.scores, classes)

    def combine(self, combination: Combination, asked: list[_Asked]) -> Told:
        """Make one answer of those that came."""
        answers = [one.future.result() for one in asked]
        combined = combination.combine(
            [self.said(one.version, answer) for one, answer in zip(asked, answers, strict=True)],
            numeric=self._numeric,
        )
        if combined.shortfall is None:
            answer = Answer(
                Outcome.ANSWERED, combined.output, combined.scores,
                cached=all(one.cached for one in answers if one.outcome is Outcome.ANSWERED),
            )  # fmt: skip
        elif all(one.outcome is not Outcome.ANSWERED for one in answers):
            # Nobody answered: why the first did not says more than that they were too few.
            answer = answers[0]
        else:
            answer = Answer(_SHORTFALLS[combined.shortfall], error=combined.shortfall.value)
        return Told(asked[0].version, answer, _voices(asked), combined.agreement, combined=True)


class Gathering:
    """One request on its way to several versions."""

    __slots__ = ("_asked", "_block", "_choice", "_deadline", "_members", "_started")

    def __init__(
        self, members: Members, choice: Choice, block: bytes, deadline: float, started: float
    ) -> None:
        self._members = members
        self._choice = choice
        self._block = block
        self._deadline = deadline
        self._started = started
        self._asked: list[_Asked] = []

    def ask(self, version: str) -> _Asked:
        """Ask one version."""
        future = self._members.submit(version, self._block, self._deadline)
        asked = _Asked(version, future)
        future.add_done_callback(partial(self._note_time, asked))
        self._asked.append(asked)
        return asked

    def _note_time(self, asked: _Asked, _: Waiting) -> None:
        asked.seconds = time.perf_counter() - self._started

    async def told(self) -> Told:
        """Wait for the answer. Each queue answers by the deadline, so this does too."""
        if self._choice.combination is not None:
            await asyncio.wait([one.future for one in self._asked])
            return self._members.combine(self._choice.combination, self._asked)
        return await self._descend(self._choice.stages)

    async def _descend(self, stages: tuple[Stage, ...]) -> Told:
        """Go from stage to stage until one is sure; of the answers that came, the last stands."""
        standing: _Asked | None = None
        for place, stage in enumerate(stages):
            asked = self._asked[place] if place < len(self._asked) else self.ask(stage.version)
            said = self._members.said(stage.version, await asked.future)
            if said is not None:
                standing = asked
                if is_sure(stage, said):
                    break
        chosen = standing or self._asked[0]
        return Told(chosen.version, chosen.future.result(), _voices(self._asked))


def _voices(asked: list[_Asked]) -> tuple[Voice, ...]:
    return tuple(Voice(one.version, one.future.result(), one.seconds) for one in asked)
