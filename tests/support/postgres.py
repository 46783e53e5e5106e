"""A Postgres server for a test session and a fresh, migrated database for a test.

`LEADSMAN_TEST_DATABASE_URL` names another server (15 or newer, right to create databases).
"""

import asyncio
import os
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade

SPEED_BEFORE_SAFETY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}
"""For the fixture alone: tests that cut the power use servers of their own."""


def with_database(url: str, name: str) -> str:
    """Return the same server's URL with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def sqlalchemy_url(url: str) -> str:
    """Return the same URL as SQLAlchemy takes it."""
    return urlunsplit(urlsplit(url)._replace(scheme="postgresql+asyncpg"))


def execute(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def fetch(url: str, query: str) -> list[asyncpg.Record]:
    """The rows of a query."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server where the session may create databases."""
    given = os.environ.get("LEADSMAN_TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), options=SPEED_BEFORE_SAFETY)
    url = server.start()
    try:
        yield url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def database_template(postgres_url: str) -> Iterator[str]:
    """Name of a migrated database that nobody connects to."""
    name = f"template_{secrets.token_hex(4)}"
    execute(postgres_url, f"CREATE DATABASE {name}")
    asyncio.run(upgrade(sqlalchemy_url(with_database(postgres_url, name))))
    yield name
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_url: str, database_template: str) -> Iterator[str]:
    """URL of a database of the test's own, brought to the newest form."""
    yield from _migrated(postgres_url, database_template)


@pytest.fixture(scope="module")
def module_database(postgres_url: str, database_template: str) -> Iterator[str]:
    """URL of one database for all tests of a file."""
    yield from _migrated(postgres_url, database_template)


def _migrated(postgres_url: str, database_template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {database_template}")
    yield with_database(postgres_url, name)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """URL of a database of the test's own with nothing in it."""
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres_url, f"CREATE DATABASE {name}")
    yield with_database(postgres_url, name)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
