"""Runs migrations over one connection: the caller's, or one made from the configured URL."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.schema import MonitorTable
from serving.schema import ServingTable

METADATA = [ServingTable.metadata, MonitorTable.metadata]
LOCK_TIMEOUT = "3s"
"""A migration that waits longer for a lock gives way: a queue behind it would stop the answers."""
MIGRATION_LOCK = 7_530_211
"""Advisory lock: two processes that start together migrate one after the other."""


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, compare_type=True)
    with context.begin_transaction():
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()


async def _run_with_own_connection(url: str) -> None:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    asyncio.run(_run_with_own_connection(context.config.get_main_option("sqlalchemy.url", "")))
