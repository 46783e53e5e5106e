"""One of a queue's replicas, and the batch that it has."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from serving.batch import Answer, Batch, Outcome, State
from serving.launchers.base import Launcher, Limits
from serving.records import Version
from serving.replica.protocol import Encoding, Frame, Kind, ProtocolError
from serving.replica_client import BatchAnswer, Hello, parse_answer, predict_frame
from serving.replica_supervisor import ReplicaSupervisor

log = logging.getLogger("serving.batching")


class Owner(Protocol):
    """The queue, as its replicas see it."""

    def replica_ready(self) -> None:
        """A replica said hello."""

    def batch_done(self, batch: Batch, answers: list[Answer], seconds: float | None) -> None:
        """A replica answered; `seconds` is none where it refused the batch."""

    def batch_lost(self, batch: Batch, reason: str, *, hung: bool) -> None:
        """A replica ended with this batch, which may be empty."""

    def replica_gone(self, reason: str) -> None:
        """A replica does not start any more."""


class BatchReplica:
    """Answers one batch at a time."""

    def __init__(
        self,
        version: Version,
        launcher: Launcher,
        owner: Owner,
        *,
        features: tuple[str, ...],
        python: Path | None,
        encoding: Encoding,
        limits: Limits,
        stalled_after: float,
    ) -> None:
        self.flight: Batch = []
        """The rows that it has."""
        self.ends_at = 0.0
        """When the batch in flight is expected to be answered, by the event loop's clock."""
        self.idle_since = 0.0
        self.tries_suspects = False
        """Whether the batch in flight is one that ended a replica."""
        self.limits = limits
        self._version = version
        self._owner = owner
        self._encoding = encoding
        self._stalled_after = stalled_after
        self._sequence = 0
        self._sent_at = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._hung = False
        self._classes: list[bytes] = []
        self._landed: Callable[[], None] | None = None
        self.supervisor = ReplicaSupervisor(
            version, launcher, features=features, python=python, limits=limits,
            on_ready=self._ready, on_frame=self._frame, on_lost=self._lost,
        )  # fmt: skip

    @property
    def state(self) -> State:
        """Where it is."""
        return State(self.supervisor.state)

    @property
    def is_free(self) -> bool:
        """Whether it can take a batch."""
        return not self.flight and self.supervisor.state == "ready"

    def send(self, batch: Batch, now: float, seconds: float) -> None:
        """Give it a batch that is expected to take so long."""
        self._sequence += 1
        self.flight = batch
        self.ends_at = now + seconds
        self._sent_at = now
        if self._stall is None:
            # One timer looks after many batches: it is moved on only when it comes due.
            loop = asyncio.get_running_loop()
            self._stall = loop.call_at(now + self._stalled_after, self._look, self._sequence)
        blocks = [entry.block for entry in batch]
        self.supervisor.send(predict_frame(self._encoding, blocks, self._sequence))

    async def retire(self, grace: timedelta = timedelta(seconds=2)) -> None:
        """Let it finish the batch it has, then end it."""
        if self.flight:
            landed = asyncio.get_running_loop().create_future()
            self._landed = lambda: None if landed.done() else landed.set_result(None)
            await asyncio.wait([landed], timeout=self._stalled_after)
        await self.stop(grace)

    async def stop(self, grace: timedelta) -> None:
        """End it; whatever it has is left to the owner."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        await self.supervisor.stop(grace)

    def land(self) -> Batch:
        """Take the batch from it."""
        batch, self.flight = self.flight, []
        self.tries_suspects = False
        if self._landed is not None:
            self._landed()
        return batch

    def _look(self, sequence: int) -> None:
        """Replace it if it still has the batch that it had when the timer was set."""
        self._stall = None
        if not self.flight:
            return
        if sequence != self._sequence:
            loop, due = asyncio.get_running_loop(), self._sent_at + self._stalled_after
            self._stall = loop.call_at(due, self._look, self._sequence)
            return
        log.warning("replica_stalled version=%s rows=%d", self._version.ref, len(self.flight))
        self._hung = True
        self.supervisor.replace("the replica gave no answer for too long")

    def _ready(self, hello: Hello) -> None:
        self._hung = False
        self._classes = [json.dumps(one).encode() for one in hello.classes or ()]
        self._owner.replica_ready()

    def _frame(self, frame: Frame) -> None:
        """Take the answer to the batch in flight."""
        batch = self.flight
        if not batch or frame.sequence != self._sequence:
            raise ProtocolError(f"expected no answer to batch {frame.sequence}")
        seconds: float | None = None
        if frame.kind == Kind.FAILURE:
            failed = Answer(Outcome.ROW_FAILED, error=bytes(frame.payload).decode())
            answers = [failed] * len(batch)
        else:
            parsed = parse_answer(frame, len(batch), self._classes)
            seconds = parsed.seconds
            answers = _answers(parsed)
        self.idle_since = asyncio.get_running_loop().time()
        self._owner.batch_done(self.land(), answers, seconds)

    def _lost(self, reason: str, *, gone_for_good: bool) -> None:
        hung, self._hung = self._hung, False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._owner.batch_lost(self.land(), reason, hung=hung)
        if gone_for_good:
            self._owner.replica_gone(reason)


def _answers(batch: BatchAnswer) -> list[Answer]:
    if batch.scores is None:
        answers = [Answer(Outcome.ANSWERED, output) for output in batch.outputs]
    else:
        answers = [
            Answer(Outcome.ANSWERED, output, scores)
            for output, scores in zip(batch.outputs, batch.scores, strict=True)
        ]
    for row, message in batch.errors.items():
        answers[row] = Answer(Outcome.ROW_FAILED, error=message)
    return answers
