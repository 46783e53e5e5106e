"""What goes into a batch, and what comes out of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec


class Outcome(IntEnum):
    """How a request ended. All but `ANSWERED` are the record's `default_reason`."""

    ANSWERED = 0
    DEADLINE = 1
    REPLICA_FAILED = 2
    NO_REPLICA = 3
    ROW_FAILED = 4
    OVERLOADED = 5
    """Refused at the door: the client gets 503, and there is no record of an answer."""
    TOO_FEW_MEMBERS = 6
    """Of several versions asked together, fewer answered in time than the policy asks for."""
    LOW_AGREEMENT = 7
    """They agreed less than the policy asks for."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of one row."""

    outcome: Outcome
    output: bytes = b"null"
    """JSON text."""
    scores: bytes | None = None
    """Little-endian float64, in the order of the version's classes."""
    error: str = ""
    """Why there is no output."""
    cached: bool = False
    """Whether it was kept from an equal row, or made for one that was asked at the same time."""


class Waiter(Protocol):
    """Who waits for an answer: a future, or whatever goes on from there at once.

    What `set_result` does happens in the middle of the queue's work: it must not raise.
    """

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Answer, /) -> None:
        """Take the answer; called once at most."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What bounds a batch and its wait."""

    rows: int = 512
    """Most rows in a batch: what a cheap model gains beyond is nothing."""
    slack_used: float = 0.8
    """Share of the latency objective after which a batch is to be answered: the rest is for what
    comes after it."""
    admitted: float = 0.65
    """Share of the time left that the wait at the door may be predicted to take: what is let in is
    meant to be answered, and predictions err."""
    errors_allowed: float = 2.0
    """Mean errors of prediction by which a batch may take longer than predicted and be in time."""
    linger_from: float = 0.001
    """Seconds of fixed cost from which waiting for more rows can pay at all."""
    linger_share: float = 0.25
    """Most of the fixed cost that is spent on waiting for more rows."""
    background: float = 0.01
    """Predicted seconds of a batch without a caller: the next caller may have to wait for it."""
    stalled_after: float = 30.0
    """Seconds without an answer after which a replica is taken to hang."""
    warm_batches: int = 5
    """Batches before the learned cost is trusted to turn requests away."""


class State(StrEnum):
    """Where a queue's replicas are."""

    STARTING = "starting"
    READY = "ready"
    """One of them answers."""
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Entry:
    """One row on its way."""

    __slots__ = (
        "arrived", "background", "block", "deadline", "deaths", "followers", "waiter", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        block: bytes,
        arrived: float,
        deadline: float,
        waiter: Waiter,
        background: bool,
    ) -> None:
        self.block = block
        self.arrived = arrived
        self.deadline = deadline
        self.waiter = waiter
        self.background = background
        self.deaths = 0
        """Replicas that ended with this row in their batch."""
        self.waiting = False
        """Whether it is in the queue; each entry is there once at most."""
        self.followers: list[Entry] | None = None
        """Equal rows that were asked meanwhile, and get the same answer."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        if not self.waiter.done():
            return True
        followers = self.followers
        return followers is not None and any(not one.waiter.done() for one in followers)

    def resolve(self, answer: Answer) -> None:
        """Give the answer to everybody who waits for it."""
        if not self.waiter.done():
            self.waiter.set_result(answer)
        if self.followers:
            same = answer
            if answer.outcome is Outcome.ANSWERED:
                same = Answer(answer.outcome, answer.output, answer.scores, cached=True)
            for one in self.followers:
                if not one.waiter.done():
                    one.waiter.set_result(same)
            self.followers = None

    def everybody(self) -> "Iterator[Entry]":
        """The entry and those that follow it."""
        yield self
        yield from self.followers or ()


Batch = list[Entry]
