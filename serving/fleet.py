"""This process among the living serving processes: it registers, listens, and follows the others.

One connection to Postgres listens. A notice says at once what to read again; a poll finds what a
lost notice would have said. Nothing here is on the path of a prediction.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.agreement import Agreement
from serving.in_force import InForce
from serving.records import ReplicaPlan
from serving.store import fleet, replica_counts, revisions, served_revisions
from serving.store.fleet import Mark
from serving.store.notices import Channel

log = logging.getLogger("serving.fleet")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries to reach Postgres: doubled each time, with jitter."""
COMMAND_SECONDS = 10.0
"""A Postgres that says nothing for so long is taken for lost."""

AWAY = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    SQLAlchemyError,
)
"""What a lost or restarting Postgres looks like."""


class Fleet:
    """One process's place among the others.

    Parameters
    ----------
    process
        Id of this process, drawn at its start.
    folder
        The process's own folder, which with the machine's name is what it is known by.
    follow_keys
        Reads the API keys again.
    poll
        Seconds between two looks where no notice comes.
    """

    def __init__(
        self,
        url: str,
        engine: AsyncEngine,
        in_force: InForce,
        agreement: Agreement,
        *,
        process: UUID,
        folder: Path,
        follow_keys: Callable[[], Awaitable[None]],
        follow_replicas: Callable[[dict[int, ReplicaPlan]], None],
        poll: float,
    ) -> None:
        self.name = f"{socket.gethostname()}:{folder.resolve()}"
        self.connected = False
        """Whether this process hears of what others change."""
        self.lost = asyncio.Event()
        """Set once Postgres was tried in vain."""
        self._url = url
        self._engine = engine
        self._in_force = in_force
        self._agreement = agreement
        self.process = process
        self._follow_keys = follow_keys
        self._follow_replicas = follow_replicas
        self._poll = poll
        self._marks: dict[int, Mark] = {}
        self._served: dict[int, int] = {}
        """What the record says that this process answers by: revisions by application id."""
        self._wake = asyncio.Event()
        self._changed: set[int] = set()
        self._stale: set[Channel] = set()

    async def run(self) -> None:
        """Follow the others for ever; Postgres may come and go."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._follow()
            except AWAY as error:
                log.warning("fleet_lost error=%r pause=%.1f", error, pause)
            finally:
                self.connected = False
            self.lost.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = FIRST_PAUSE if self._in_force.restored else min(2 * pause, LONGEST_PAUSE)

    async def _register(self, connection: asyncpg.Connection) -> None:
        """Take this process's place, and forget what an earlier row said that it serves."""
        await fleet.register(connection, self.process, self.name, os.getpid())
        self._served = {}

    async def _follow(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=5, command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": "leadsman serving"},
        )  # fmt: skip
        try:
            # Listens before it reads: what changes in between is then heard of.
            for channel in Channel:
                await connection.add_listener(channel.value, self._hear)
            connection.add_termination_listener(lambda _: self._wake.set())
            await self._register(connection)
            await self._read_all(connection)
            self.connected = True
            self.lost.clear()
            loop = asyncio.get_running_loop()
            due = loop.time() + self._poll
            while not connection.is_closed():
                await self._wait_for_news(due - loop.time())
                if loop.time() >= due:
                    await self._look_at_all(connection)
                    due = loop.time() + self._poll
                await self._read_news(connection)
            raise ConnectionResetError("the connection that listens was lost")
        except asyncio.CancelledError:
            if not connection.is_closed():
                await fleet.leave(connection, self.process)
            raise
        finally:
            connection.terminate()

    def _hear(self, _: object, __: int, channel: str, payload: object) -> None:
        text = str(payload)
        if channel == Channel.SWITCHED:
            self._agreement.hear_switch(text)
            return
        if channel in (Channel.REVISIONS, Channel.APPLICATIONS):
            self._changed.add(int(text))
        elif channel == Channel.ANNOUNCEMENTS and not self._agreement.hear(text):
            return
        else:
            self._stale.add(Channel(channel))
        self._wake.set()

    async def _wait_for_news(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        self._wake.clear()

    async def _read_all(self, connection: asyncpg.Connection) -> None:
        """At the start, and after any time without a connection."""
        await self._follow_keys()
        await self._plan_replicas()
        marks = await fleet.marks(connection)
        if not self._in_force.restored or self._in_force.copied_at is not None:
            await self._in_force.restore([m.name for m in marks.values() if not m.deleted])
            log.info("routes_restored count=%d", len(self._in_force.states))
            self._marks = marks
            await self._say_served(connection)
        else:
            await self._go_by(connection, marks)
        await self._close_abandoned()
        await self._take_part(connection)

    async def _look_at_all(self, connection: asyncpg.Connection) -> None:
        """The poll: finds what no notice told, and says that this process lives."""
        if not await fleet.beat(connection, self.process):
            await self._register(connection)
        await self._go_by(connection, await fleet.marks(connection))
        await self._close_abandoned()
        self._stale |= {Channel.REPLICAS, Channel.ANNOUNCEMENTS}

    async def _read_news(self, connection: asyncpg.Connection) -> None:
        changed, self._changed = sorted(self._changed), set()
        stale, self._stale = self._stale, set()
        for number in changed:
            await self._follow_rollback(connection, number)
        if changed:
            await self._say_served(connection)
            await self._go_by(connection, await fleet.marks(connection, changed))
        if Channel.KEYS in stale:
            await self._follow_keys()
        if Channel.REPLICAS in stale:
            await self._plan_replicas()
        if Channel.ANNOUNCEMENTS in stale:
            # After the routes: what a decided change needs is needed by its route by now.
            await self._take_part(connection)

    async def _go_by(self, connection: asyncpg.Connection, marks: dict[int, Mark]) -> None:
        for number, mark in marks.items():
            # A route that could not be read may be able to be by now: its package was installed.
            if self._marks.get(number) != mark or mark.name in self._in_force.unread:
                await self._in_force.follow(mark.name)
                self._marks[number] = mark
        await self._say_served(connection)

    async def _follow_rollback(self, connection: asyncpg.Connection, number: int) -> None:
        """Switch at once where all that happened is a rollback to what is warm here."""
        mark = self._marks.get(number)
        state = self._in_force.states.get(mark.name) if mark is not None else None
        if state is None:
            return
        newer = await revisions.after(connection, state.revision)
        if len(newer) == 1 and (after := state.rolled_back(newer[0])) is not None:
            self._in_force.adopt(after)

    async def _say_served(self, connection: asyncpg.Connection) -> None:
        """Record by which revisions this process answers now, where that has changed."""
        states = self._in_force.states.values()
        now = {state.application.id: state.revision.revision for state in states}
        gone = self._served.keys() - now.keys()
        if gone:
            await served_revisions.drop(connection, self.process, gone)
        changed = {number: one for number, one in now.items() if self._served.get(number) != one}
        if changed:
            await served_revisions.write(connection, self.process, changed)
        self._served = now

    async def _plan_replicas(self) -> None:
        async with self._engine.connect() as connection:
            self._follow_replicas(await replica_counts.every(connection))

    async def _take_part(self, connection: asyncpg.Connection) -> None:
        self._agreement.attend(*await fleet.waiting_for(connection, self.process))

    async def _close_abandoned(self) -> None:
        for announcement in list(self._agreement.abandoned):
            async with self._engine.begin() as connection:
                await fleet.close(connection, announcement)
            self._agreement.abandoned.discard(announcement)
