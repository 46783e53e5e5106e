"""All serving processes are ready for a route change before it is made.

Who wants a change announces it; every living process starts and probes the versions and says so;
the change is committed when all have, and fails with the words of the first that cannot. A process
that dies is not waited for, and one that announced and died binds nobody.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serving.errors import ProbeFailedError, ServingError, VersionFailedToStartError
from serving.in_force import InForce
from serving.inputs import compile_schema
from serving.records import InputSchema
from serving.replicas import Replicas
from serving.route_states import Line, read_line
from serving.store import fleet
from serving.store.fleet import Announced, Participant
from serving.store.models import Versions

log = logging.getLogger("serving.agreement")

LOOK_AGAIN = 0.25
"""Seconds between looks at who lives and what they said, where no notice comes."""
SWITCHED_WITHIN = 1.0
"""Longest time in seconds that a change waits for the others to have switched, after its commit."""
MARGIN = 5.0
"""Seconds over the time limit of a version that another process gets to tell how it ended."""


class Proposal:
    """A change that was announced."""

    def __init__(self, agreement: "Agreement", announcement: UUID) -> None:
        self._agreement = agreement
        self.id = announcement
        self.decided = False
        """Whether the transaction of the change closed it."""

    async def close(self, connection: AsyncConnection) -> None:
        """Close it in the transaction that commits the change."""
        await fleet.close(connection, self.id)


class Agreement:
    """One process's part in agreeing, as the one who asks and as one who is asked.

    Parameters
    ----------
    process
        Id of this process.
    within
        Time limit of the change in seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        versions: Versions,
        replicas: Replicas,
        in_force: InForce,
        *,
        process: UUID,
        within: float,
    ) -> None:
        self.process = process
        self.within = within
        self.abandoned: set[UUID] = set()
        """Announcements that could not be closed as Postgres was away."""
        self._engine = engine
        self._versions = versions
        self._replicas = replicas
        self._in_force = in_force
        self._news: dict[UUID, asyncio.Event] = {}
        self._attended: dict[UUID, asyncio.Event] = {}
        """Announcements of others; set once they are decided."""
        self._switched: dict[tuple[int, int], set[UUID]] = {}
        """Who has switched, by application and revision that somebody here waits for."""
        self._switch_news = asyncio.Event()

    @asynccontextmanager
    async def proposed(
        self, application_id: int, policy: dict[str, Any], schema: InputSchema, probe: Any
    ) -> AsyncIterator[Proposal]:
        """Announce a change; what was not decided in the block is given up."""
        proposal = Proposal(self, uuid4())
        self._news[proposal.id] = asyncio.Event()
        try:
            async with self._engine.begin() as connection:
                await fleet.announce(
                    connection, proposal.id, application_id=application_id, policy=policy,
                    schema=schema.schema, probe=probe, process=self.process,
                    seconds=self.within + 4 * MARGIN,
                )  # fmt: skip
            yield proposal
        finally:
            del self._news[proposal.id]
            if not proposal.decided:
                self._in_force.spawn(self._give_up(proposal.id), "give up an announcement")

    async def _give_up(self, announcement: UUID) -> None:
        # A process that is away from Postgres closes it when it is back; until then it expires.
        self.abandoned.add(announcement)
        async with self._engine.begin() as connection:
            await fleet.close(connection, announcement)
        self.abandoned.discard(announcement)

    async def reached(self, proposal: Proposal, own: Awaitable[None], refs: list[str]) -> None:
        """Wait until this process and every other living one is ready.

        Parameters
        ----------
        own
            What this process has to do for it.

        Raises
        ------
        VersionFailedToStartError, ProbeFailedError
            As the first process reports that is not.
        """
        mine = asyncio.ensure_future(own)
        others = asyncio.ensure_future(self._all_ready(proposal, refs))
        try:
            await asyncio.wait((mine, others), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (mine, others):
                if not task.done():
                    task.cancel()
            outcomes = await asyncio.gather(mine, others, return_exceptions=True)
        # What this process says itself comes first: it needs nobody's report.
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _all_ready(self, proposal: Proposal, refs: list[str]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.within + MARGIN
        news = self._news[proposal.id]
        while True:
            news.clear()
            async with self._engine.connect() as connection:
                found = await fleet.others(connection, self.process, proposal.id)
            for one in found:
                _raise_if_refused(one)
            silent = [one.name for one in found if one.answer is None]
            if not silent:
                return
            if loop.time() > deadline:
                raise VersionFailedToStartError(
                    ", ".join(refs),
                    f"serving process {', '.join(silent)} did not report within {self.within:g} s",
                    "",
                )
            await _wait(news, LOOK_AGAIN)

    def expect(self, application_id: int, revision: int) -> None:
        """Begin to note who switches to a revision."""
        self._switched[application_id, revision] = set()

    async def everywhere(self, application_id: int, revision: int) -> None:
        """Wait until every living process says that it has switched, this one too; not long."""
        heard = self._switched[application_id, revision]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SWITCHED_WITHIN
        async with self._engine.connect() as connection:
            living = await fleet.living(connection)
        while missing := living.keys() - heard:
            left = deadline - loop.time()
            if left <= 0:
                names = ", ".join(living[one] for one in missing)
                log.warning("switch_not_confirmed revision=%d processes=%s", revision, names)
                return
            self._switch_news.clear()
            await _wait(self._switch_news, left)

    def forget(self, application_id: int, revision: int) -> None:
        """Stop noting who switches."""
        self._switched.pop((application_id, revision), None)

    def hear_switch(self, payload: str) -> None:
        """Take a notice that a process has switched."""
        application_id, revision, process = payload.split(":")
        for (changed, awaited), heard in self._switched.items():
            if changed == int(application_id) and awaited <= int(revision):
                heard.add(UUID(process))
                self._switch_news.set()

    def hear(self, announcement: str) -> bool:
        """Take a notice about an announcement; True if it is not one of this process's own."""
        news = self._news.get(UUID(announcement))
        if news is None:
            return True
        news.set()
        return False

    def attend(self, unanswered: list[Announced], still_open: set[UUID]) -> None:
        """Get ready for what others announced, and let go of what is decided."""
        for announced in unanswered:
            if announced.id not in self._attended:
                decided = self._attended[announced.id] = asyncio.Event()
                self._in_force.spawn(self._attend(announced, decided), f"attend {announced.id}")
        for known in [one for one in self._attended if one not in still_open]:
            self._attended.pop(known).set()

    async def _attend(self, announced: Announced, decided: asyncio.Event) -> None:
        try:
            await self._take_part(announced, decided)
        except BaseException:
            # Postgres went away, perhaps: once it is back the announcement is met again.
            self._attended.pop(announced.id, None)
            raise

    async def _take_part(self, announced: Announced, decided: asyncio.Event) -> None:
        """Start and probe, say how it went, and keep what was started until it is decided."""
        codec = compile_schema(announced.schema)
        schema = InputSchema(0, announced.schema, codec.features, codec.encoding)
        said: dict[str, Any] = {}
        try:
            async with self._engine.connect() as connection:
                line = await read_line(connection, self._versions, announced.policy, schema)
        except ServingError as error:
            await self._say(announced.id, _report(error))
            return
        with self._replicas.claim(line.keys):
            try:
                await self._ready_or_decided(line, announced.probe, decided)
            except ServingError as error:
                said = _report(error)
            await self._say(announced.id, said)
            await _wait(decided, self.within + 4 * MARGIN)

    async def _ready_or_decided(self, line: Line, probe: Any, decided: asyncio.Event) -> None:
        preparing = asyncio.ensure_future(self._in_force.prepare(line, probe))
        over = asyncio.ensure_future(decided.wait())
        await asyncio.wait((preparing, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not preparing.done():
            # It was given up elsewhere: nobody waits for this process any more.
            preparing.cancel()
            await asyncio.wait([preparing])
            return
        await preparing

    async def _say(self, announcement: UUID, said: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await fleet.answer(connection, announcement, self.process, said)


def _report(error: ServingError) -> dict[str, Any]:
    """What another process needs to say the same."""
    return {
        "code": error.code,
        "ref": getattr(error, "ref", ""),
        "reason": getattr(error, "reason", error.detail),
        "last_words": getattr(error, "last_words", ""),
    }


def _raise_if_refused(one: Participant) -> None:
    said = one.answer
    if not said:
        return
    reason = f"{said['reason']} (in serving process {one.name})"
    if said["code"] == ProbeFailedError.code:
        raise ProbeFailedError(said["ref"], reason, said["last_words"])
    raise VersionFailedToStartError(said["ref"] or "A version", reason, said["last_words"])


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
