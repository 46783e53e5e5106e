"""The queues, and with them the replicas, that this process keeps for all its routes."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from serving.batching import BatchQueue, Outcome, QueueOptions, State
from serving.errors import InvalidInputError, ProbeFailedError, VersionFailedToStartError
from serving.inputs import InputCodec
from serving.launchers.base import Launcher, Limits, Prepares
from serving.records import InputSchema, ReplicaPlan, Version

log = logging.getLogger("serving.replicas")

LOOK_AGAIN = 0.02
"""Seconds between looks at a replica that is being replaced."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts to start what a route in force needs; each one doubles the pause."""


@dataclass(frozen=True, slots=True)
class QueueKey:
    """What a queue is made for: a version that reads rows of one form."""

    version_id: int
    features: tuple[str, ...]
    encoding: str


def key_of(version: Version, schema: InputSchema) -> QueueKey:
    """The key under which a version's queue is kept."""
    return QueueKey(version.id, schema.features, schema.encoding)


class Replicas:
    """Starts queues once for all applications, and ends those that no application needs.

    Parameters
    ----------
    launcher
        Starts replicas.
    python
        Interpreter of replicas whose manifest names none.
    start_within
        Longest time from start to hello.
    build_within
        Longest time that a change waits for what is made before a start.
    drain_within
        Longest time that an unneeded queue gets for what it has begun.
    retire_after
        How long a queue is kept once nothing needs it.
    options
        What the operator says of every queue.
    usual
        What a version has of which nothing was said.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        python: Path | None,
        start_within: timedelta,
        build_within: timedelta = timedelta(minutes=30),
        drain_within: timedelta,
        retire_after: timedelta = timedelta(0),
        options: QueueOptions | None = None,
        usual: ReplicaPlan | None = None,
    ) -> None:
        self._options = options
        self.usual = usual or ReplicaPlan()
        """What a version has of which nothing was said."""
        self._launcher = launcher
        self._python = python
        self._start_within = start_within
        self._build_within = build_within.total_seconds()
        self._drain_within = drain_within
        self._retire_after = retire_after.total_seconds()
        self._unneeded_since: dict[QueueKey, float] = {}
        self._looking: asyncio.TimerHandle | None = None
        self.plans: dict[int, ReplicaPlan] = {}
        """What was said of replicas, by version id."""
        self._resizing: dict[QueueKey, asyncio.Task[None]] = {}
        self._queues: dict[QueueKey, BatchQueue] = {}
        self._starting: dict[QueueKey, asyncio.Task[None]] = {}
        self._needs: dict[str, frozenset[QueueKey]] = {}
        self._claims: Counter[QueueKey] = Counter()
        self._retiring: set[asyncio.Task[None]] = set()

    def queues(self) -> list[BatchQueue]:
        """Every queue that is kept."""
        return list(self._queues.values())

    @contextmanager
    def claim(self, keys: Iterable[QueueKey]) -> Iterator[None]:
        """Keep queues while a change that wants them is under way."""
        claimed = list(keys)
        self._claims.update(claimed)
        try:
            yield
        finally:
            self._claims.subtract(claimed)
            self._retire()

    def need(self, application: str, keys: Iterable[QueueKey]) -> None:
        """State what an application needs from now on; what nobody needs is drained and ended."""
        self._needs[application] = frozenset(keys)
        self._retire()

    def plan(self, plans: dict[int, ReplicaPlan]) -> bool:
        """Give each version the replicas that were asked for; True if that is something new."""
        before, self.plans = self.plans, dict(plans)
        for key, queue in self._queues.items():
            if before.get(key.version_id, self.usual) != self._plan_of(key):
                self._resize(key, queue)
        return before != self.plans

    def _resize(self, key: QueueKey, queue: BatchQueue) -> None:
        """Bring a queue that runs to its plan; one change after the other, the last one wins."""
        if key in self._starting or key in self._resizing or queue.state == State.STOPPED:
            return

        async def bring() -> None:
            done: ReplicaPlan | None = None
            try:
                while done != (plan := self._plan_of(key)) and queue.state != State.STOPPED:
                    await queue.scale(plan.count, cpu=plan.cpu, memory_mb=plan.memory_mb)
                    done = plan
            except (VersionFailedToStartError, OSError) as error:
                log.error("replicas_not_scaled version=%s why=%s", queue.version.ref, error)
            finally:
                del self._resizing[key]

        self._resizing[key] = asyncio.create_task(bring(), name=f"scale {queue.version.ref}")

    def _plan_of(self, key: QueueKey) -> ReplicaPlan:
        return self.plans.get(key.version_id, self.usual)

    def get(self, version: Version, schema: InputSchema) -> BatchQueue:
        """The queue of a version; made, and not started, if there is none."""
        key = key_of(version, schema)
        if key not in self._queues:
            self._queues[key] = BatchQueue(
                version,
                self._launcher,
                features=schema.features,
                encoding=schema.encoding,
                python=self._python,
                options=self._options,
            )
        return self._queues[key]

    async def ready(self, version: Version, schema: InputSchema) -> BatchQueue:
        """The queue of a version when its replica answers.

        Raises
        ------
        VersionFailedToStartError
            If it does not within the time; carries its last words.
        """
        queue = self.get(version, schema)
        if queue.state == State.READY:
            return queue
        if queue.state in (State.STARTING, State.FAILED):
            # Others may wait for the same start: one that gives up must not end it.
            await asyncio.shield(self._start(key_of(version, schema), queue))
        await self._wait_until_ready(queue)
        return queue

    def _start(self, key: QueueKey, queue: BatchQueue) -> "asyncio.Task[None]":
        """The one attempt under way to start a queue."""

        first = self._plan_of(key)

        async def attempt() -> None:
            try:
                if queue.restarts == 0:
                    # Within its limits from the first moment: loading may take the most memory.
                    await queue.start(self._start_within, limits=Limits(first.cpu, first.memory_mb))
            except BaseException:
                # What never came up is forgotten, so that the next attempt begins afresh.
                if self._queues.get(key) is queue and not self._is_needed(key, by_routes=True):
                    del self._queues[key]
                raise
            finally:
                del self._starting[key]
                self._retire()
            if self._plan_of(key) != replace(first, count=1):
                self._resize(key, queue)

        if key not in self._starting:
            self._starting[key] = asyncio.create_task(attempt(), name=f"start {queue.version.ref}")
        return self._starting[key]

    async def _wait_until_ready(self, queue: BatchQueue) -> None:
        """Wait for a replica that is being replaced."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_within.total_seconds()
        while queue.state != State.READY:
            if queue.state == State.STOPPED or loop.time() > deadline:
                raise VersionFailedToStartError(
                    queue.version.ref, f"its replica is {queue.state}", queue.last_words
                )
            await asyncio.sleep(LOOK_AGAIN)

    async def keep_trying(self, version: Version, schema: InputSchema) -> None:
        """Start what a route in force needs, again and again until it answers or is not needed."""
        pause = FIRST_PAUSE
        while self._is_needed(key_of(version, schema)):
            try:
                await self.ready(version, schema)
                return
            except VersionFailedToStartError as error:
                log.error("version_not_restored version=%s why=%s", version.ref, error.detail)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def state_of(self, version_id: int) -> State | None:
        """Where a version's replicas are here; None where nothing needs it."""
        states = [
            queue.state for key, queue in self._queues.items() if key.version_id == version_id
        ]
        return next((one for one in states if one != State.READY), next(iter(states), None))

    async def prepare(self, versions: Iterable[Version]) -> None:
        """Let the launcher make what versions' first starts need, which is nobody's start as yet.

        Raises
        ------
        VersionFailedToStartError
            If it cannot, or not in time; carries what the one who makes it said.
        """
        if isinstance(self._launcher, Prepares):
            for version in versions:
                try:
                    await self._prepare(self._launcher, version)
                except OSError as error:
                    raise VersionFailedToStartError(version.ref, str(error), "") from error

    async def _prepare(self, launcher: Prepares, version: Version) -> None:
        making = asyncio.ensure_future(launcher.prepare(version, self._python))
        try:
            await asyncio.wait([making], timeout=self._build_within)
            if making.done():
                await making
                return
            far = launcher.progress(version) or "nothing was said of it"
        finally:
            making.cancel()
        reason = (
            f"its environment was not built within {self._build_within:g} s, and was at: {far}. "
            "What is done of it is kept: ask again"
        )
        raise VersionFailedToStartError(version.ref, reason, "")

    def progress(self, version: Version) -> str | None:
        """What the launcher does for a version that is starting; none if it does not say."""
        launcher = self._launcher
        return launcher.progress(version) if isinstance(launcher, Prepares) else None

    def last_words_of(self, version_id: int) -> str | None:
        """What a version's replica wrote last; one that does not answer comes first."""
        mine = [queue for key, queue in self._queues.items() if key.version_id == version_id]
        mine.sort(key=lambda queue: queue.state == State.READY)
        return next((queue.last_words for queue in mine if queue.last_words.strip()), None)

    def are_ready(self, keys: Iterable[QueueKey]) -> bool:
        """Whether each of these queues answers now."""
        queues = [self._queues.get(key) for key in keys]
        return all(queue is not None and queue.state == State.READY for queue in queues)

    async def probe(self, queue: BatchQueue, codec: InputCodec, rows: Sequence[Any]) -> None:
        """Send rows through the queue, as requests would go.

        Parameters
        ----------
        rows
            Inputs that the version must answer; without any it is only asked for its form.

        Raises
        ------
        ProbeFailedError
            If the version wants another number of features, or does not answer a row.
        """
        ref = queue.version.ref
        wanted = queue.hello.features if queue.hello is not None else None
        if wanted is not None and wanted != len(codec.features):
            raise ProbeFailedError(
                ref,
                f"it takes {wanted} features, the application's schema has {len(codec.features)}",
            )
        blocks = []
        for row in rows:
            try:
                blocks.append(codec.check(row))
            except InvalidInputError as error:
                # Rows of a reference may have a form that this application's do not.
                log.warning("probe_row_skipped version=%s why=%s", ref, error.detail)
        if not blocks:
            log.info("probe_skipped version=%s why=no_rows", ref)
            return
        deadline = asyncio.get_running_loop().time() + self._start_within.total_seconds()
        for answer in await asyncio.gather(*(queue.submit(block, deadline) for block in blocks)):
            if answer.outcome != Outcome.ANSWERED:
                why = answer.error or answer.outcome.name.lower()
                raise ProbeFailedError(ref, why, await queue.words())

    def _is_needed(self, key: QueueKey, *, by_routes: bool = False) -> bool:
        claimed = self._claims[key] > 0 and not by_routes
        return claimed or any(key in keys for keys in self._needs.values())

    def _retire(self) -> None:
        """End what nothing has needed for long enough; look again when the next one is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        unneeded = [key for key in self._queues if not self._is_needed(key)]
        since = self._unneeded_since = {key: self._unneeded_since.get(key, now) for key in unneeded}
        for key in unneeded:
            if key in self._starting or now < since[key] + self._retire_after:
                continue
            del since[key]
            task = asyncio.create_task(self._end(self._queues.pop(key)), name="retire")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if since and self._retire_after:
            at = min(since.values()) + self._retire_after
            self._looking = loop.call_at(max(at, now + LOOK_AGAIN), self._retire)

    async def _end(self, queue: BatchQueue) -> None:
        if not await queue.drain(self._drain_within):
            log.warning("drain_timed_out version=%s", queue.version.ref)
        await queue.stop()
        log.info("replica_retired version=%s", queue.version.ref)

    async def stop(self) -> None:
        """End every replica; what waits is answered that there is none."""
        waiting = [*self._starting.values(), *self._retiring]
        for task in self._starting.values():
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        queues, self._queues = list(self._queues.values()), {}
        await asyncio.gather(*(queue.stop() for queue in queues))
