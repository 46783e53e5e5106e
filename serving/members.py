"""Asks the versions that answer one request together, at once or one after the other."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from serving.batching import Answer, BatchQueue, Outcome
from serving.policies.base import Choice, Combination, MemberAnswer, Shortfall
from serving.policies.cascade import is_sure

COMBINE_SHARE = 0.05
"""Part of an objective that is kept for combining: members must answer before."""

_SHORTFALLS = {
    Shortfall.TOO_FEW_MEMBERS: Outcome.TOO_FEW_MEMBERS,
    Shortfall.LOW_AGREEMENT: Outcome.LOW_AGREEMENT,
}

_UNANSWERED = Answer(Outcome.DEADLINE)
"""Stands for the answer that has not come yet."""


class Voice(msgspec.Struct, frozen=True):
    """What one version said, beside the answer that left."""

    version: str
    answer: Answer
    seconds: float


class Told(msgspec.Struct, frozen=True):
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

    def ask(
        self, choice: Choice, block: bytes, deadline: float, started: float, tell: "Tell"
    ) -> None:
        """Hand a row to all members, or to the first stage.

        Parameters
        ----------
        deadline
            By the event loop's clock.
        started
            Arrival, by the clock that measures latency.
        tell
            Called once with what it comes to, perhaps before this returns.
        """
        Gathering(self, choice, block, deadline, started, tell).begin()

    def submit(self, asked: "_Asked", block: bytes, deadline: float) -> None:
        """Hand a row to one version."""
        self._queues[asked.version].ask(block, deadline, asked)

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

    def combine(self, combination: Combination, asked: "list[_Asked]") -> Told:
        """Make one answer of those that came."""
        answers = [one.answer for one in asked]
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


Tell = Callable[[Told | Exception], None]
"""Who hears what a request came to, or what went wrong in finding that out; must not raise."""


@dataclass(slots=True, eq=False)
class _Asked:
    """One version that was asked, and waits for its queue's answer."""

    version: str
    gathering: "Gathering"
    answer: Answer = _UNANSWERED
    seconds: float = 0.0
    """From the request's arrival until it answered."""

    def done(self) -> bool:
        """Whether it has answered."""
        return self.answer is not _UNANSWERED

    def set_result(self, answer: Answer) -> None:
        """Take the answer."""
        self.answer = answer
        self.seconds = time.perf_counter() - self.gathering.started
        self.gathering.answered(self)


@dataclass(slots=True, eq=False)
class Gathering:
    """One request on its way to several versions: each queue answers by the deadline."""

    members: Members
    choice: Choice
    block: bytes
    deadline: float
    started: float
    tell: Tell
    asked: list[_Asked] = field(default_factory=list)
    missing: int = 0
    """Members that have not answered yet."""
    standing: _Asked | None = None
    """The last stage of a cascade that gave an answer."""

    def begin(self) -> None:
        """Ask all members, or the first stage."""
        first = self.choice.members or (self.choice.stages[0].version,)
        # Counted before any is asked: a queue may answer at once.
        self.missing = len(first)
        for version in first:
            self._ask(version)

    def _ask(self, version: str) -> None:
        asked = _Asked(version, self)
        self.asked.append(asked)
        self.members.submit(asked, self.block, self.deadline)

    def answered(self, asked: _Asked) -> None:
        """Go on with one version's answer."""
        combination = self.choice.combination
        try:
            if combination is None:
                told = self._descend(asked)
            else:
                self.missing -= 1
                told = None if self.missing else self.members.combine(combination, self.asked)
        except Exception as error:
            # A policy of somebody's own may fail; the queue that answered must not.
            self.tell(error)
            return
        if told is not None:
            self.tell(told)

    def _descend(self, asked: _Asked) -> Told | None:
        """Go to the next stage until one is sure; of the answers that came, the last stands."""
        stages = self.choice.stages
        place = len(self.asked) - 1
        said = self.members.said(asked.version, asked.answer)
        if said is not None:
            self.standing = asked
        if (said is None or not is_sure(stages[place], said)) and place + 1 < len(stages):
            self._ask(stages[place + 1].version)
            return None
        chosen = self.standing or self.asked[0]
        return Told(chosen.version, chosen.answer, _voices(self.asked))


def _voices(asked: list[_Asked]) -> tuple[Voice, ...]:
    return tuple(Voice(one.version, one.answer, one.seconds) for one in asked)
