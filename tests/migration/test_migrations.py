"""The migrations against real servers: what they make is what the code expects."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from migrations.upgrade import configuration, upgrade
from monitor.schema import MonitorTable
from serving.schema import ServingTable
from serving.schema.shipments import Xid8
from serving.store.partitions import days_around, ensure_partitions
from tests.support.postgres import sqlalchemy_url

VERSION = "alembic_version"
"""Alembic's own table."""
PARTITION = re.compile(r"(predictions|feedback)_(\d{8}|default)")


def run_on(url: str, work: Callable[[Connection], Any]) -> Any:
    async def run() -> Any:
        engine = create_async_engine(sqlalchemy_url(url))
        # SQLAlchemy does not know the type of transaction ids, so reading the tables back needs it.
        engine.dialect.ischema_names["xid8"] = Xid8  # type: ignore[attr-defined]
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def differences(connection: Connection) -> list[Any]:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        return not (kind == "table" and PARTITION.fullmatch(name or ""))

    # Defaults are compared by asking the server for both, and this one reads a setting.
    connection.execute(text("SELECT set_config('leadsman.shipment', '1', true)"))
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_name": ours,
            "target_metadata": [ServingTable.metadata, MonitorTable.metadata],
        },
    )
    both = [ServingTable.metadata, MonitorTable.metadata]
    # The typing of alembic knows one set of tables, its code several.
    found: list[Any] = compare_metadata(context, both)  # type: ignore[arg-type]
    return [one for one in found if not (one[0] == "remove_table" and one[1].name == VERSION)]


def _objects(connection: Connection) -> set[str]:
    look = inspect(connection)
    return {*look.get_table_names(), *look.get_view_names()} - {VERSION}


def test_an_empty_database_gets_the_tables_of_the_code(empty_database: str) -> None:
    asyncio.run(upgrade(sqlalchemy_url(empty_database)))
    assert run_on(empty_database, differences) == []


def test_partitions_are_no_difference(database: str) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(database)
        await ensure_partitions(connection, days_around(datetime(2026, 11, 23, tzinfo=UTC)))
        await connection.close()

    asyncio.run(make())
    assert run_on(database, differences) == []


def test_upgrading_twice_changes_nothing(database: str) -> None:
    before = run_on(database, _objects)
    asyncio.run(upgrade(sqlalchemy_url(database)))
    assert run_on(database, _objects) == before
    assert run_on(database, differences) == []


def test_processes_that_upgrade_at_once_wait_for_each_other(empty_database: str) -> None:
    program = "import asyncio, sys, migrations.upgrade as m; asyncio.run(m.upgrade(sys.argv[1]))"
    words = [sys.executable, "-c", program, sqlalchemy_url(empty_database)]
    processes = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert run_on(empty_database, differences) == []


def test_downgrading_leaves_nothing_and_can_be_taken_back(empty_database: str) -> None:
    def down(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    asyncio.run(upgrade(sqlalchemy_url(empty_database)))
    run_on(empty_database, down)
    assert run_on(empty_database, _objects) == set()
    asyncio.run(upgrade(sqlalchemy_url(empty_database)))
    assert run_on(empty_database, differences) == []
