"""The way to Postgres."""

import asyncpg
from sqlalchemy.engine import make_url
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
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=5,
        max_overflow=5,
        pool_pre_ping=True,
        connect_args={"server_settings": {"application_name": "leadsman monitor", "jit": "off"}},
    )


def plain(url: str) -> str:
    """The address without a driver, as asyncpg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
