"""One adaptive queue for each version.

A batch is formed when a replica is free, never by a clock: a window spoils cheap models, and two
batches in flight leave dear ones with tiny batches. The cost of a batch is learned from the
replica's own clock; its size is what the tightest deadline allows. Nothing is ever padded.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from serving.batch import Answer, Batch, BatchLimits, Entry, Outcome, State, Waiter
from serving.batch_cost import BatchCost
from serving.batch_plan import BatchPlan
from serving.batch_replica import BatchReplica
from serving.batch_size import Controller
from serving.cache import NO_CACHE, AnswerCache, CacheLimits
from serving.deadlines import Deadlines
from serving.histogram import Histogram
from serving.launchers.base import UNLIMITED, Launcher, Limits
from serving.records import Version
from serving.replica.protocol import Encoding
from serving.replica_client import Hello
from serving.replica_set import ReplicaSet
from serving.shared_answers import SharedAnswers, Sharing
from serving.suspects import Suspects
from serving.waiting_rows import WaitingRows

__all__ = ["Answer", "BatchLimits", "BatchQueue", "Outcome", "QueueOptions", "State"]

log = logging.getLogger("serving.batching")

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the buckets in which batches are counted, in rows."""

_REPLACED = Answer(Outcome.REPLICA_FAILED, error="the replica was being replaced")
_LATE = Answer(Outcome.DEADLINE, error="the deadline passed")


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What an operator may say of queues."""

    controller: Controller = Controller.LEARNED
    cache: CacheLimits = NO_CACHE
    """Kept answers; none by default, since a model need not say the same twice."""


class BatchQueue:
    """The rows that wait for one version, and its replicas."""

    def __init__(
        self,
        version: Version,
        launcher: Launcher,
        *,
        features: tuple[str, ...] = (),
        python: Path | None = None,
        encoding: str = "float64",
        limits: BatchLimits | None = None,
        options: QueueOptions | None = None,
    ) -> None:
        """Make a queue; `start` brings up its replicas.

        Parameters
        ----------
        features
            Names of the features in a row's order.
        python
            Interpreter of the model's environment; none for the service's own.
        encoding
            Form of the blocks: `float64` or `json`.
        """
        options = options or QueueOptions()
        self.version = version
        self.answered = 0
        """Rows that a replica answered."""
        self.refused = 0
        """Rows that were turned away at the door."""
        self.batch_rows = Histogram(BATCH_BOUNDS)
        """Rows of the batches that replicas were given."""
        self._shared = SharedAnswers(options.cache) if options.cache.size else None
        self._limits = limits or BatchLimits()
        self._plan = BatchPlan(self._limits, options.controller)
        self._encoding = Encoding.JSON if encoding == "json" else Encoding.FLOATS
        self._features = features
        self._python = python
        self._launcher = launcher
        self._rows = WaitingRows()
        self._deadlines = Deadlines(self._expire)
        self._suspects = Suspects()
        self._last_rows = 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forming: asyncio.Handle | None = None
        self._lingering = False
        self._drained: list[asyncio.Future[None]] = []
        self._held = 0
        """Requests that have not asked all of their rows."""
        self._set = ReplicaSet(version.ref, self._make, self.replica_ready)
        self._replicas = self._set.members

    def _make(self, limits: Limits) -> BatchReplica:
        return BatchReplica(
            self.version, self._launcher, self, features=self._features, python=self._python,
            encoding=self._encoding, limits=limits, stalled_after=self._limits.stalled_after,
        )  # fmt: skip

    @property
    def cache(self) -> AnswerCache | None:
        """Kept answers, where the operator wants them."""
        return None if self._shared is None else self._shared.cache

    @property
    def cost(self) -> BatchCost:
        """What batches cost here."""
        return self._plan.cost

    @property
    def state(self) -> State:
        """Where the replicas are: ready as long as one of them is."""
        return self._set.state

    @property
    def hello(self) -> Hello | None:
        """What a replica said of its model; none before the first start."""
        return self._set.hello

    @property
    def last_words(self) -> str:
        """The end of a replica's standard error: of one that does not answer, if there is one."""
        return self._set.last_words

    async def words(self) -> str:
        """The end of what a replica wrote, which may have to be fetched."""
        return await self._set.words()

    @property
    def restarts(self) -> int:
        """Replicas that were replaced."""
        return self._set.restarts

    @property
    def pid(self) -> int | None:
        """The first replica's process."""
        return next(iter(self._set.pids), None)

    @property
    def pids(self) -> list[int]:
        """The processes of all replicas."""
        return self._set.pids

    @property
    def ready(self) -> int:
        """Replicas that answer."""
        return self._set.ready

    @property
    def waiting(self) -> int:
        """Rows that wait for a batch."""
        return self._rows.live

    @property
    def in_flight(self) -> int:
        """Rows that replicas have."""
        return self._set.in_flight

    async def start(self, within: timedelta, count: int = 1, limits: Limits = UNLIMITED) -> Hello:
        """Start the replicas, each within limits, and wait until they say hello.

        Raises
        ------
        VersionFailedToStartError
            If one does not within the time; carries its last words.
        """
        return await self._set.start(within, count, limits)

    async def scale(
        self, count: int, *, cpu: float | None = None, memory_mb: int | None = None
    ) -> None:
        """Bring it to so many replicas, each within limits; one of them always answers.

        Parameters
        ----------
        cpu, memory_mb
            Where they differ from what a replica has, it is replaced, one after the other.

        Raises
        ------
        VersionFailedToStartError
            If a new replica does not come up; what ran goes on.
        """
        await self._set.scale(count, Limits(cpu, memory_mb))

    def hold(self) -> None:
        """Count as drained only after `release`: rows are still to come."""
        self._held += 1

    def release(self) -> None:
        """No row comes any more from one who has called `hold`."""
        self._held -= 1
        self._notice_empty()

    async def drain(self, within: timedelta) -> bool:
        """Wait until nothing waits and nothing is in flight; False if time ran out."""
        if self._is_empty:
            return True
        empty = asyncio.get_running_loop().create_future()
        self._drained.append(empty)
        done, _ = await asyncio.wait([empty], timeout=within.total_seconds())
        return bool(done)

    async def stop(self, grace: timedelta = timedelta(seconds=2)) -> None:
        """End the replicas; whatever still waits is answered that there is none."""
        await self._set.stop(grace)
        self._abandon(Answer(Outcome.NO_REPLICA, error="the version was stopped"))

    def purge_cache(self) -> None:
        """Forget every kept answer."""
        if self._shared is not None:
            self._shared.purge()

    def submit(
        self, block: bytes, deadline: float, *, background: bool = False
    ) -> "asyncio.Future[Answer]":
        """Ask for one row; the future always gets an `Answer`. As `ask`."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ask(block, deadline, future, background=background)
        return future

    def ask(
        self, block: bytes, deadline: float, waiter: Waiter, *, background: bool = False
    ) -> None:
        """Ask for one row; the waiter always gets an `Answer` by the deadline, perhaps at once.

        Parameters
        ----------
        block
            The row in the queue's encoding.
        deadline
            By the event loop's clock.
        background
            Nobody waits for it: it goes when no other row does.
        """
        loop = self._loop or self._find_loop()
        now = loop.time()
        entry = Entry(block, now, deadline, waiter, background)
        if self._shared is not None and self._is_known(self._shared, entry, now):
            if not waiter.done():
                self._deadlines.add(loop, entry)
            return
        answer = self._refuse(now, deadline)
        suspected = False
        if answer is None and self._suspects.knows_any:
            answer = self._suspects.verdict(block, now)
            suspected = answer is None and self._suspects.is_suspected(block, now)
        if answer is not None:
            waiter.set_result(answer)
            return
        self._deadlines.add(loop, entry)
        if suspected:
            self._suspects.add(entry)
        else:
            self._rows.push(entry)
        if self._shared is not None:
            self._shared.asked(entry)
        self._wake(loop)

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        # Asked for once: each look at the running loop is a system call before Python 3.12.
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _is_known(self, shared: SharedAnswers, entry: Entry, now: float) -> bool:
        """Answer a row from the cache, or let it follow an equal one that is on its way."""
        sharing, first = shared.look_up(entry, now)
        if sharing is Sharing.URGES:
            # The row that it follows takes its place in the queue.
            self._rows.place(first)
        return sharing is not Sharing.NEW

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._forming is None:
            # Not at once: all requests that the loop reads in this turn share the batch.
            for replica in self._replicas:
                if replica.is_free:
                    self._forming = loop.call_soon(self._form)
                    return
        elif self._lingering and self._rows.live >= self._last_rows:
            self._forming.cancel()
            self._lingering = False
            self._forming = loop.call_soon(self._form, True)

    def _refuse(self, now: float, deadline: float) -> Answer | None:
        """An answer at the door where waiting has no prospect."""
        waiting = self._rows.live
        if len(self._replicas) == 1:
            # The usual case, decided by plain comparisons: it is asked for every row.
            replica = self._replicas[0]
            state = replica.supervisor.state
            ready, left = 1, replica.ends_at - now if replica.flight else 0.0
            if state == "ready" and not replica.flight and not waiting:
                return None
        else:
            state = self.state
            busy = [one.ends_at - now for one in self._replicas if one.state == State.READY]
            ready, left = max(1, len(busy)), min(busy, default=0.0)
        if state in (State.FAILED, State.STOPPED):
            return Answer(Outcome.NO_REPLICA, error=f"the version has {state}")
        # With nothing before it a row is always tried: a wrong estimate then corrects itself.
        if not self._plan.is_trusted or (left <= 0 and not waiting):
            return None
        if self._plan.has_room(
            now, deadline, left=max(0.0, left), ready=ready, waiting=waiting,
            head=self._rows.first,
        ):  # fmt: skip
            return None
        self.refused += 1
        return Answer(Outcome.OVERLOADED, error=f"{waiting} rows wait and the deadline would pass")

    def _expire(self, due: Batch) -> None:
        """Answer those whose deadline has come."""
        late = self._late()
        for entry in due:
            is_done = entry.waiter.done()
            if is_done and not entry.waiting and not entry.deaths:
                # Answered long ago, as nearly all are.
                continue
            if not is_done:
                entry.waiter.set_result(_REPLACED if entry.deaths else late)
            # A row whose followers have more time stays in the queue for them.
            if entry.is_wanted:
                continue
            if entry.waiting:
                self._rows.leave(entry)
                self._forget(entry)
            elif entry.deaths:
                # It is not asked again; a late answer to any other is still worth keeping.
                self._forget(entry)
        self._rows.sweep()
        self._notice_empty()

    def _late(self) -> Answer:
        """What a row is told that no replica answered in time."""
        state = self.state
        if state == State.READY:
            return _LATE
        if state == State.RESTARTING:
            return _REPLACED
        return Answer(Outcome.NO_REPLICA, error=f"the version is {state}")

    def _form(self, lingered: bool = False) -> None:
        """Give every free replica a batch; the one that has been idle for longest comes first."""
        self._forming = None
        self._lingering = False
        if self._set.stopped:
            return
        free = [replica for replica in self._replicas if replica.is_free]
        if not free:
            return
        if len(free) > 1:
            free.sort(key=lambda one: one.idle_since)
        loop = self._loop or self._find_loop()
        now = loop.time()
        if self._suspects and self._may_try_suspects():
            batch = self._suspects.take()
            if batch:
                replica = free.pop(0)
                self._send(replica, batch, now)
                replica.tries_suspects = True
        if free and not lingered and (pause := self._linger(now)):
            self._lingering = True
            self._forming = loop.call_later(pause, self._form, True)
            return
        while free and self._rows.live:
            batch = self._take(now, self._plan.share(len(free), self._rows.live))
            if not batch:
                break
            self._send(free.pop(0), batch, now)
        self._notice_empty()

    def _may_try_suspects(self) -> bool:
        """One batch at a time, and never at the last replica: others want their answers."""
        if any(one.tries_suspects for one in self._replicas):
            return False
        return not self._suspects.are_proven or len(self._replicas) == 1 or self.ready > 1

    def _linger(self, now: float) -> float:
        """Seconds to wait for more before the next batch."""
        first = self._rows.first
        if first is None:
            return 0.0
        return self._plan.linger(now, self._rows.live, self._last_rows, first.deadline)

    def _take(self, now: float, limit: int) -> Batch:
        """The most urgent rows, as many as their tightest deadline allows."""
        batch: Batch = []
        rows = self._rows
        while len(batch) < limit and (entry := rows.first) is not None:
            if batch and entry.background != batch[0].background:
                break
            rows.leave(entry)
            if not entry.is_wanted:
                # Its caller went away.
                self._forget(entry)
                continue
            if not batch:
                alone = entry.followers is None and not entry.background
                if alone and rows.live and self._plan.is_hopeless(entry.deadline - now):
                    # It would only make those late that can still be in time.
                    entry.resolve(_LATE)
                    self._forget(entry)
                    continue
                limit = self._plan.rows_with(entry, now, limit)
            batch.append(entry)
        return batch

    def _send(self, replica: BatchReplica, batch: Batch, now: float) -> None:
        self._last_rows = len(batch)
        self.batch_rows.observe(len(batch))
        replica.send(batch, now, self.cost.seconds(len(batch)))

    def replica_ready(self) -> None:
        """A replica can take a batch."""
        self._form()

    def batch_done(self, batch: Batch, answers: list[Answer], seconds: float | None) -> None:
        """Hand a replica's answers to their callers, and give it the next batch."""
        if seconds is not None:
            objective = min(entry.deadline - entry.arrived for entry in batch)
            self._plan.observe(len(batch), seconds, objective)
            self.answered += len(batch)
        if self._suspects.knows_any:
            self._suspects.clear(batch)
        if self._shared is not None:
            self._shared.keep(batch, answers, (self._loop or self._find_loop()).time())
        for entry, answer in zip(batch, answers, strict=True):
            if entry.followers is None:
                if not entry.waiter.done():
                    entry.waiter.set_result(answer)
            else:
                entry.resolve(answer)
        self._form()

    def _forget(self, entry: Entry) -> None:
        if self._shared is not None:
            self._shared.forget(entry)

    def batch_lost(self, batch: Batch, reason: str, *, hung: bool) -> None:
        """Ask again what a replica had when it ended, on another one if there is one."""
        now = asyncio.get_running_loop().time()
        self._suspects.blame(batch, reason, now)
        for entry in batch:
            if entry.waiter.done() and not entry.is_wanted:
                self._forget(entry)
        if self.ready:
            self._form()

    def replica_gone(self, reason: str) -> None:
        """A replica does not start any more: with no other one left, nobody waits in vain."""
        if self._set.are_lost:
            self._abandon(Answer(Outcome.NO_REPLICA, error=reason))

    def _abandon(self, answer: Answer) -> None:
        """Answer everything that waits or is in flight."""
        entries = [*self._rows.empty(), *self._suspects.empty()]
        for replica in self._replicas:
            entries += replica.land()
        if self._shared is not None:
            self._shared.forget_asked()
        for entry in entries:
            entry.resolve(answer)
        self._notice_empty()

    @property
    def _is_empty(self) -> bool:
        return not (self._rows.live or self._suspects or self._held or self.in_flight)

    def _notice_empty(self) -> None:
        if self._drained and self._is_empty:
            for future in self._drained:
                if not future.done():
                    future.set_result(None)
            self._drained.clear()
