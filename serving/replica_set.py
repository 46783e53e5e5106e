"""The replicas of one version in this process: how many there are, and what each may use."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from serving.batch import State
from serving.batch_replica import BatchReplica
from serving.errors import VersionFailedToStartError
from serving.launchers.base import UNLIMITED, Limits
from serving.replica_client import Hello


class ReplicaSet:
    """Starts replicas, changes their number and limits, and ends them; one of them always answers.

    Parameters
    ----------
    ref
        The version, as `model:version`.
    make
        Makes a replica that is not started.
    joined
        Called when one more can take batches.
    """

    def __init__(
        self, ref: str, make: Callable[[Limits], BatchReplica], joined: Callable[[], None]
    ) -> None:
        self.members = [make(UNLIMITED)]
        """At least one."""
        self.stopped = False
        self._ref = ref
        self._make = make
        self._joined = joined
        self._scaling = asyncio.Lock()
        self._start_within = timedelta(seconds=60)
        self._restarts_before = 0
        """Restarts of replicas that were let go."""

    @property
    def state(self) -> State:
        """Where they are: ready as long as one of them is."""
        if self.stopped:
            return State.STOPPED
        states = {replica.state for replica in self.members}
        for state in (State.READY, State.RESTARTING, State.STARTING, State.FAILED):
            if state in states:
                return state
        return State.STOPPED

    @property
    def hello(self) -> Hello | None:
        """What a replica said of its model; none before the first start."""
        return self.members[0].supervisor.hello

    @property
    def last_words(self) -> str:
        """The end of a replica's standard error: of one that does not answer, if there is one."""
        silent = [one for one in self.members if one.state != State.READY]
        return (silent or self.members)[0].supervisor.last_words

    async def words(self) -> str:
        """The end of what a replica wrote, which may have to be fetched."""
        return await self.members[0].supervisor.words()

    @property
    def restarts(self) -> int:
        """Replicas that were replaced."""
        return self._restarts_before + sum(one.supervisor.restarts for one in self.members)

    @property
    def pids(self) -> list[int]:
        """Their processes."""
        return [pid for one in self.members if (pid := one.supervisor.pid) is not None]

    @property
    def ready(self) -> int:
        """How many answer."""
        return sum(one.state == State.READY for one in self.members)

    @property
    def in_flight(self) -> int:
        """Rows that they have."""
        return sum(len(replica.flight) for replica in self.members)

    @property
    def are_lost(self) -> bool:
        """Whether none of them will answer any more."""
        return all(one.state in (State.FAILED, State.STOPPED) for one in self.members)

    async def start(self, within: timedelta, count: int, limits: Limits) -> Hello:
        """Start them and wait until they say hello; raises as `scale`."""
        self._start_within = within
        if self.members[0].limits != limits:
            self.members[0] = self._make(limits)
        hello = await self._bring_up(self.members[0])
        if count > 1:
            await self.scale(count, limits)
        return hello

    async def _bring_up(self, replica: BatchReplica) -> Hello:
        try:
            return await replica.supervisor.start(self._start_within.total_seconds())
        except OSError as error:
            raise VersionFailedToStartError(self._ref, str(error), "") from error

    async def scale(self, count: int, limits: Limits) -> None:
        """Bring it to so many replicas, each within limits.

        Raises
        ------
        VersionFailedToStartError
            If a new replica does not come up; what ran goes on.
        """
        async with self._scaling:
            outdated = [one for one in self.members if one.limits != limits]
            while len(self.members) - len(outdated) < count and not self.stopped:
                fresh = self._make(limits)
                await self._bring_up(fresh)
                if self.stopped:
                    await fresh.stop(timedelta(0))
                    return
                self.members.append(fresh)
                self._joined()
                if outdated:
                    await self._let_go(outdated.pop(0))
            surplus = len(self.members) - len(outdated) - count
            fitting = [one for one in self.members if one not in outdated]
            for replica in [*outdated, *(fitting[-surplus:] if surplus > 0 else [])]:
                await self._let_go(replica)

    async def _let_go(self, replica: BatchReplica) -> None:
        """End a replica once it has finished the batch it has."""
        self.members.remove(replica)
        self._restarts_before += replica.supervisor.restarts
        await replica.retire()

    async def stop(self, grace: timedelta) -> None:
        """End all of them; whatever they have is left to the owner."""
        self.stopped = True
        await asyncio.gather(*(replica.stop(grace) for replica in self.members))
