"""The role as which Grafana reads the record: what it may, and what it may not."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from dashboards.provisioning import READER
from migrations.upgrade import configuration
from tests.support.monitoring import bad_release, lay, rows_of
from tests.support.postgres import execute, sqlalchemy_url

VIEWS = {
    "revision_log", "subject_log", "feature_log", "signal_log", "watch_log", "alarm_log",
    "alert_log", "remedy_log", "prediction_log", "feedback_log",
}  # fmt: skip
Work = Callable[[asyncpg.Connection], Awaitable[None]]


@pytest.fixture
def login(database: str) -> Iterator[tuple[str, str]]:
    name, password = f"grafana_{secrets.token_hex(4)}", secrets.token_hex(16)
    execute(database, f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {READER}")
    yield name, password
    execute(database, f"DROP ROLE {name}")


def _as(login: tuple[str, str], database: str, work: Work) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database, user=login[0], password=login[1])
        try:
            await work(connection)
        finally:
            await connection.close()

    asyncio.run(run())


def test_the_role_cannot_log_in_by_itself(database: str) -> None:
    (role,) = asyncio.run(rows_of(database, "SELECT * FROM pg_roles WHERE rolname = $1", READER))
    assert not role["rolcanlogin"]
    assert not any(role[right] for right in ("rolsuper", "rolcreaterole", "rolcreatedb"))


def test_its_views_are_all_that_it_may_read(database: str, login: tuple[str, str]) -> None:
    asyncio.run(lay(database, bad_release(shipments=2, rows=5)))

    async def look(connection: asyncpg.Connection) -> None:
        tables = await connection.fetch(
            "SELECT c.relname AS name, has_table_privilege(c.oid, 'SELECT') AS may,"
            " has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'p', 'm')"
        )
        assert {row["name"] for row in tables if row["may"]} == VIEWS
        assert not any(row["may_write"] for row in tables)
        for view in VIEWS:
            await connection.fetch(f"SELECT * FROM {view}")
        assert len(await connection.fetch("SELECT * FROM prediction_log")) == 15
        (first, *_) = await connection.fetch("SELECT * FROM revision_log ORDER BY revision")
        assert (first["application"], first["serves"]) == ("market", "price:1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM keys")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (a int)")

    _as(login, database, look)


def test_a_subject_is_told_in_names(database: str, login: tuple[str, str]) -> None:
    asyncio.run(lay(database, bad_release(shipments=1, rows=1)))
    execute(
        database,
        "INSERT INTO signal_summaries (application_id, signal, step_s, subject, at, n, total,"
        " squares) VALUES (1, 'loss', 60, '2,1|region=north', now(), 4, 2, 2)",
    )

    async def look(connection: asyncpg.Connection) -> None:
        row = await connection.fetchrow("SELECT * FROM signal_log")
        assert row is not None
        assert (row["version"], row["segment"]) == ("price:2 against price:1", "region=north")
        assert (row["mean"], row["half_width"]) == (0.5, pytest.approx(1.96 * (1 / 12) ** 0.5))

    _as(login, database, look)


def test_taking_the_migration_back_leaves_the_role_to_other_databases(
    database: str, empty_database: str
) -> None:
    def to(revision: str) -> Callable[[Connection], None]:
        def move(connection: Connection) -> None:
            config = configuration()
            config.attributes["connection"] = connection
            (command.upgrade if revision == "head" else command.downgrade)(config, revision)

        return move

    async def run() -> None:
        engine = create_async_engine(sqlalchemy_url(empty_database))
        try:
            for revision in ("head", "7f33dfcafa4b", "head", "7f33dfcafa4b"):
                async with engine.connect() as connection:
                    await connection.run_sync(to(revision))
                    await connection.commit()
                    there = await connection.execute(
                        text("SELECT count(*) FROM pg_roles WHERE rolname = :name"),
                        {"name": READER},
                    )
                    assert there.scalar_one() == 1
        finally:
            await engine.dispose()

    asyncio.run(run())
