"""The way to Postgres."""

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DATABASE_AWAY = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a lost or restarting Postgres looks like; the turn was undone and is taken again."""


def connect(url: str) -> AsyncEngine:
    """Make an engine for a postgresql:// address.

    The time zone and the planner's use of parallel workers are left alone; JIT is off because a
    turn's
    statements are short and compiling them takes longer than running them.
    """
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=5,
        max_overflow=5,
        pool_pre_ping=True,
        # Summaries of detectors hold hundreds of numbers: the standard library takes ten times as
        # long to read them.
        json_deserializer=msgspec.json.decode,
        connect_args={"server_settings": {"application_name": "leadsman monitor", "jit": "off"}},
    )
    made = _made[engine.sync_engine] = WeakSet()

    def remember(connection: Any, _record: object) -> None:
        made.add(connection.driver_connection)

    event.listen(engine.sync_engine, "connect", remember)
    return engine


_made: WeakKeyDictionary[Engine, WeakSet[asyncpg.Connection]] = WeakKeyDictionary()
"""Connections that are there, by engine."""


def sever(engine: AsyncEngine) -> None:
    """End every connection at once: who waits for an answer hears that none will come.

    A network that loses what is sent tells nobody. The system gives up on its connections after
    hours, and each of them holds somebody up until then.
    """
    for connection in list(_made.get(engine.sync_engine, ())):
        connection.terminate()


def plain(url: str) -> str:
    """The address without a driver, as asyncpg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
