"""One adaptive queue for each version.

A batch is formed when the replica is free, never by a clock: a window spoils cheap models, and two
batches in flight leave dear ones with tiny batches. The cost of a batch is learned from the
replica's own clock; its size is what the tightest deadline allows.
"""

import asyncio
import heapq
import json
import logging
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from pathlib import Path

from serving.batch_cost import BatchCost
from serving.errors import VersionFailedToStartError
from serving.launchers.base import Launcher
from serving.records import Version
from serving.replica.protocol import Encoding, Frame, Kind, ProtocolError
from serving.replica_client import BatchAnswer, Hello, parse_answer, predict_frame
from serving.replica_supervisor import ReplicaSupervisor

log = logging.getLogger("serving.batching")


class Outcome(IntEnum):
    """How a request ended. All but `ANSWERED` are the record's `default_reason`."""

    ANSWERED = 0
    DEADLINE = 1
    REPLICA_FAILED = 2
    NO_REPLICA = 3
    ROW_FAILED = 4
    OVERLOADED = 5
    TOO_FEW_MEMBERS = 6
    """Of several versions asked together, fewer answered in time than the policy asks for."""
    LOW_AGREEMENT = 7
    """They agreed less than the policy asks for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one row."""

    outcome: Outcome
    output: bytes = b"null"
    """JSON text."""
    scores: bytes | None = None
    """Little-endian float64, in the order of the version's classes."""
    error: str = ""
    """Why there is no output."""
    cached: bool = False
    """Whether it was kept from an equal row."""


_REPLACED = Answer(Outcome.REPLICA_FAILED, error="the replica was being replaced")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What bounds a batch and its wait."""

    rows: int = 512
    """Most rows in a batch: what a cheap model gains beyond is nothing."""
    slack_used: float = 0.9
    """Share of the time left that a batch may be predicted to take."""
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
    """Where a queue's replica is."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class _Entry:
    """One row on its way."""

    __slots__ = ("block", "deadline", "deaths", "future", "waiting")

    def __init__(self, block: bytes, deadline: float, future: asyncio.Future[Answer]) -> None:
        self.block = block
        self.deadline = deadline
        self.future = future
        self.deaths = 0
        """Replicas that ended with this row in their batch."""
        self.waiting = True


Batch = list[_Entry]


class BatchQueue:
    """The rows that wait for one version, and its replica."""

    def __init__(
        self,
        version: Version,
        launcher: Launcher,
        *,
        features: tuple[str, ...] = (),
        python: Path | None = None,
        encoding: str = "float64",
        limits: BatchLimits | None = None,
    ) -> None:
        """Make a queue; `start` brings up its replica.

        Parameters
        ----------
        features
            Names of the features in a row's order.
        python
            Interpreter of the model's environment; none for the service's own.
        encoding
            Form of the blocks: `float64` or `json`.
        """
        self.version = version
        self.cost = BatchCost()
        self.answered = 0
        """Rows that a replica answered."""
        self._limits = limits or BatchLimits()
        self._encoding = Encoding.JSON if encoding == "json" else Encoding.FLOATS
        self._heap: list[tuple[bool, float, int, _Entry]] = []
        self._live = 0
        self._number = 0
        self._suspects: deque[Batch] = deque()
        """Batches that killed a replica, to be asked again by themselves."""
        self._flight: Batch = []
        self._sent_at = 0.0
        self._expected_seconds = 0.0
        self._sequence = 0
        self._last_rows = 1
        self._largest = 8
        self._forming: asyncio.Handle | None = None
        self._lingering = False
        self._stall: asyncio.TimerHandle | None = None
        self._expiring: dict[int, Batch] = {}
        self._classes: list[bytes] = []
        self._drained: list[asyncio.Future[None]] = []
        self._supervisor = ReplicaSupervisor(
            version, launcher, features=features, python=python,
            on_ready=self._ready, on_frame=self._frame, on_lost=self._lost,
        )  # fmt: skip

    @property
    def state(self) -> State:
        """Where the replica is."""
        return State(self._supervisor.state)

    @property
    def hello(self) -> Hello | None:
        """What the replica said of its model; none before the first start."""
        return self._supervisor.hello

    @property
    def last_words(self) -> str:
        """The end of the replica's standard error."""
        return self._supervisor.last_words

    @property
    def restarts(self) -> int:
        """Replicas that were replaced."""
        return self._supervisor.restarts

    @property
    def pid(self) -> int | None:
        """The replica's process."""
        return self._supervisor.pid

    @property
    def waiting(self) -> int:
        """Rows that wait for a batch."""
        return self._live

    @property
    def in_flight(self) -> int:
        """Rows that the replica has."""
        return len(self._flight)

    async def start(self, within: timedelta) -> Hello:
        """Start the replica and wait until it says hello.

        Raises
        ------
        VersionFailedToStartError
            If it does not within the time; carries its last words.
        """
        try:
            return await self._supervisor.start(within.total_seconds())
        except OSError as error:
            raise VersionFailedToStartError(self.version.ref, str(error), "") from error

    async def drain(self, within: timedelta) -> bool:
        """Wait until nothing waits and nothing is in flight; False if time ran out."""
        if not self._live and not self._flight and not self._suspects:
            return True
        empty = asyncio.get_running_loop().create_future()
        self._drained.append(empty)
        done, _ = await asyncio.wait([empty], timeout=within.total_seconds())
        return bool(done)

    async def stop(self, grace: timedelta = timedelta(seconds=2)) -> None:
        """End the replica; whatever still waits is answered that there is none."""
        await self._supervisor.stop(grace)
        self._abandon(Answer(Outcome.NO_REPLICA, error="the version was stopped"))

    def submit(
        self, block: bytes, deadline: float, *, background: bool = False
    ) -> "asyncio.Future[Answer]":
        """Ask for one row; the future always gets an `Answer`, by the deadline.

        Parameters
        ----------
        block
            The row in the queue's encoding.
        deadline
            By the event loop's clock.
        background
            Nobody waits for it: it goes when no other row does.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        refusal = self._refuse(loop.time(), deadline)
        if refusal is not None:
            future.set_result(refusal)
            return future
        entry = _Entry(block, deadline, future)
        self._expire_at(loop, entry)
        self._push(entry, background)
        if not self._flight:
            self._wake(loop)
        return future

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._forming is None:
            # Not at once: all requests that the loop reads in this turn share the batch.
            self._forming = loop.call_soon(self._form)
        elif self._lingering and self._live >= self._last_rows:
            self._forming.cancel()
            self._lingering = False
            self._forming = loop.call_soon(self._form, True)

    def _refuse(self, now: float, deadline: float) -> Answer | None:
        """An answer at the door where waiting has no prospect."""
        state = self._supervisor.state
        if state in (State.FAILED, State.STOPPED):
            return Answer(Outcome.NO_REPLICA, error=f"the version has {state}")
        # With nothing before it a row is always tried: a wrong estimate then corrects itself.
        if not self._flight or self.cost.observed < self._limits.warm_batches:
            return None
        left = max(0.0, self._sent_at + self._expected_seconds - now)
        rows = self._live + 1
        batches = -(-rows // self._limits.rows)
        if now + left + self.cost.seconds(rows, batches) <= deadline:
            return None
        return Answer(Outcome.OVERLOADED, error=f"{rows} rows wait and the deadline would pass")

    def _push(self, entry: _Entry, background: bool) -> None:
        self._number += 1
        self._live += 1
        entry.waiting = True
        heapq.heappush(self._heap, (background, entry.deadline, self._number, entry))

    def _expire_at(self, loop: asyncio.AbstractEventLoop, entry: _Entry) -> None:
        """Answer by the deadline; the rows of one millisecond share a timer."""
        tick = int(entry.deadline * 1000)
        batch = self._expiring.get(tick)
        if batch is None:
            batch = self._expiring[tick] = []
            loop.call_at(tick / 1000, self._expire, tick)
        batch.append(entry)

    def _expire(self, tick: int) -> None:
        late = self._late()
        for entry in self._expiring.pop(tick):
            if entry.waiting:
                entry.waiting = False
                self._live -= 1
            if entry.future.done():
                continue
            entry.future.set_result(_REPLACED if entry.deaths else late)
        if len(self._heap) > 1024 and len(self._heap) > 2 * self._live:
            # A replica that hangs pops nothing: without this, what expired would pile up.
            self._heap = [item for item in self._heap if item[3].waiting]
            heapq.heapify(self._heap)
        self._notice_empty()

    def _late(self) -> Answer:
        """What a row is told that no replica answered in time."""
        state = self._supervisor.state
        if state == State.READY:
            return Answer(Outcome.DEADLINE, error="the deadline passed")
        if state == State.RESTARTING:
            return _REPLACED
        return Answer(Outcome.NO_REPLICA, error=f"the version is {state}")

    def _form(self, lingered: bool = False) -> None:
        """Send the next batch if the replica is free."""
        self._forming = None
        self._lingering = False
        if self._flight or self._supervisor.state != State.READY:
            return
        now = asyncio.get_running_loop().time()
        while self._suspects:
            batch = [entry for entry in self._suspects.popleft() if not entry.future.done()]
            if batch:
                self._send(batch, now)
                return
        if not lingered and (pause := self._linger(now)):
            self._lingering = True
            self._forming = asyncio.get_running_loop().call_later(pause, self._form, True)
            return
        batch = self._take(now)
        if batch:
            self._send(batch, now)
        else:
            self._notice_empty()

    def _linger(self, now: float) -> float:
        """Seconds to wait for more: a share of a large fixed cost, nothing for a lone caller."""
        fixed, limits = self.cost.fixed, self._limits
        if fixed < limits.linger_from or self._live >= self._last_rows or not self._heap:
            return 0.0
        share = limits.linger_share * (1 - 1 / max(1.0, self.cost.mean_rows))
        slack = self._heap[0][1] - now - self.cost.seconds(self._live)
        return max(0.0, min(share * fixed, slack * 0.5))

    def _take(self, now: float) -> Batch:
        """The most urgent rows, as many as their tightest deadline allows."""
        batch: Batch = []
        # Nothing is known of a batch much larger than any before: sizes grow step by step.
        limit = min(self._limits.rows, 2 * self._largest)
        heap = self._heap
        kind = False
        while heap and len(batch) < limit:
            background, deadline, _, entry = heap[0]
            if batch and background != kind:
                break
            heapq.heappop(heap)
            if not entry.waiting:
                continue
            entry.waiting = False
            self._live -= 1
            if entry.future.done():
                # Its caller went away.
                continue
            if not batch:
                kind = background
                seconds = (deadline - now) * self._limits.slack_used
                if background:
                    seconds = min(seconds, self._limits.background + self.cost.fixed)
                limit = self.cost.rows_within(seconds, limit)
            batch.append(entry)
        return batch

    def _send(self, batch: Batch, now: float) -> None:
        self._sequence += 1
        self._flight = batch
        self._last_rows = len(batch)
        self._largest = max(self._largest, len(batch))
        self._sent_at = now
        self._expected_seconds = self.cost.seconds(len(batch))
        blocks = [entry.block for entry in batch]
        loop = asyncio.get_running_loop()
        self._stall = loop.call_later(self._limits.stalled_after, self._stalled)
        self._supervisor.send(predict_frame(self._encoding, blocks, self._sequence))

    def _stalled(self) -> None:
        log.warning("replica_stalled version=%s rows=%d", self.version.ref, len(self._flight))
        self._supervisor.replace("the replica gave no answer for too long")

    def _ready(self, hello: Hello) -> None:
        self._classes = [json.dumps(one).encode() for one in hello.classes or ()]
        self._form()

    def _frame(self, frame: Frame) -> None:
        """Take the answer to the batch in flight."""
        batch = self._flight
        if not batch or frame.sequence != self._sequence:
            raise ProtocolError(f"expected no answer to batch {frame.sequence}")
        if frame.kind == Kind.FAILURE:
            failed = Answer(Outcome.ROW_FAILED, error=bytes(frame.payload).decode())
            self._land()
            _resolve(batch, [failed] * len(batch))
        else:
            answer = parse_answer(frame, len(batch), self._classes)
            self._land()
            self.cost.observe(len(batch), answer.seconds)
            self.answered += len(batch)
            _resolve(batch, _answers(answer))
        self._form()

    def _land(self) -> None:
        self._flight = []
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _lost(self, reason: str, *, gone_for_good: bool) -> None:
        """Ask again what the replica had when it ended; divide it once it seems to be the cause."""
        batch = [entry for entry in self._flight if not entry.future.done()]
        self._land()
        for entry in batch:
            entry.deaths += 1
        if gone_for_good:
            self._suspects.append(batch)
            self._abandon(Answer(Outcome.NO_REPLICA, error=reason))
        elif batch and batch[0].deaths < 2:
            self._suspects.append(batch)
        elif len(batch) == 1:
            # Twice alone or in company, and alone at last: this row ends replicas.
            error = f"the model's process ended on this row: {reason}"
            _resolve(batch, [Answer(Outcome.ROW_FAILED, error=error)])
        elif batch:
            half = len(batch) // 2
            self._suspects += [batch[:half], batch[half:]]

    def _abandon(self, answer: Answer) -> None:
        """Answer everything that waits or is in flight."""
        entries = [*self._flight, *(entry for _, _, _, entry in self._heap)]
        for batch in self._suspects:
            entries += batch
        self._land()
        self._suspects.clear()
        self._heap.clear()
        self._live = 0
        for entry in entries:
            entry.waiting = False
        _resolve(entries, [answer] * len(entries))
        self._notice_empty()

    def _notice_empty(self) -> None:
        if self._drained and not self._live and not self._flight and not self._suspects:
            for future in self._drained:
                if not future.done():
                    future.set_result(None)
            self._drained.clear()


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


def _resolve(batch: Batch, answers: list[Answer]) -> None:
    for entry, answer in zip(batch, answers, strict=True):
        if not entry.future.done():
            entry.future.set_result(answer)
