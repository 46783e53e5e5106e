"""The leases that this process holds, kept up by a heartbeat of their own."""

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.settings import Settings
from monitor.shards import Shard
from monitor.store import leases
from monitor.store.database import DATABASE_AWAY, sever

log = logging.getLogger("monitor.tenure")

BEATS = 3
"""Heartbeats in the life of a lease: two may be lost."""


def _me() -> leases.Member:
    return leases.Member(uuid4(), f"{socket.gethostname()}:{os.getpid()}")


@dataclass(slots=True)
class Tenure:
    """Which shards may be read by this process now."""

    settings: Settings
    me: leases.Member = field(default_factory=_me)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when shards came or went."""
    last_error: str | None = None
    _held: list[Shard] = field(default_factory=list)
    _until: float = 0.0

    @property
    def shards(self) -> list[Shard]:
        """What it holds; nothing once its own clock says that the leases have run out."""
        return list(self._held) if time.monotonic() < self._until else []

    @property
    def is_in_touch(self) -> bool:
        """Whether the leases are known as they stand."""
        return time.monotonic() < self._until

    def lose(self, shard: Shard) -> None:
        """Another process has it."""
        self._held = [one for one in self._held if one.name != shard.name]

    async def keep(self, engine: AsyncEngine) -> None:
        """Beat until cancelled; then give everything back."""
        pause = self.settings.lease_ttl.total_seconds() / BEATS
        while True:
            try:
                await self._beat_on(engine, pause)
            except DATABASE_AWAY as error:
                self.last_error = f"{type(error).__name__}: {error}"
                log.warning("lease_not_renewed error=%s", self.last_error)
                if isinstance(error, TimeoutError):
                    sever(engine)
            await asyncio.sleep(min(pause, 1.0))

    async def _beat_on(self, engine: AsyncEngine, pause: float) -> None:
        # One session for all beats: others see by it whether this process lives.
        async with engine.connect() as connection:
            limit = round(self.settings.lease_ttl.total_seconds() * 1000)
            # A process that is stopped in the middle of a beat holds nobody up for longer.
            for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
                await connection.execute(text(f"SET {name} = {limit}"))
            await leases.lock_leases(connection)
            await leases.lay_out(connection, self.settings.shards)
            await connection.commit()
            try:
                while True:
                    started = time.monotonic()
                    # Later than this the leases have run out, and perhaps no answer can come.
                    async with asyncio.timeout(limit / 1000), connection.begin():
                        await leases.lock_leases(connection)
                        held = await leases.beat(connection, self.me, self.settings.lease_ttl)
                    self._take_note(held, started)
                    await asyncio.sleep(pause)
            except asyncio.CancelledError:
                # Where Postgres is away too the leases run out by themselves; the end comes anyway.
                with suppress(*DATABASE_AWAY):
                    async with engine.begin() as last:
                        await leases.leave(last, self.me)
                raise
            finally:
                # Its session settings are its own: it must not go back into the pool.
                await connection.invalidate()

    def _take_note(self, held: list[Shard], started: float) -> None:
        if held != self._held:
            names = ", ".join(shard.name for shard in held) or "none"
            log.info("shards_held process=%s shards=%s", self.me.name, names)
            self.changed.set()
        self._held, self.last_error = held, None
        self._until = started + self.settings.lease_ttl.total_seconds()
