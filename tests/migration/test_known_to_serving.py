"""What serving knows of the migrations without importing them."""

import asyncio

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from migrations.upgrade import configuration
from serving.store.form import MIGRATIONS, lacking
from tests.support.postgres import execute, sqlalchemy_url


def test_serving_knows_every_migration_in_its_order() -> None:
    newest_first = ScriptDirectory.from_config(configuration()).walk_revisions()
    chain = tuple(reversed([one.revision for one in newest_first]))
    assert chain == MIGRATIONS, "a new migration's id belongs at the end of serving/store/form.py"


def missing(url: str) -> list[str]:
    async def ask() -> list[str]:
        engine = create_async_engine(sqlalchemy_url(url))
        try:
            async with engine.connect() as connection:
                return await lacking(connection)
        finally:
            await engine.dispose()

    return asyncio.run(ask())


def go_to(url: str, revision: str) -> None:
    def move(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    async def run() -> None:
        engine = create_async_engine(sqlalchemy_url(url))
        try:
            async with engine.connect() as connection:
                await connection.run_sync(move)
                await connection.commit()
        finally:
            await engine.dispose()

    asyncio.run(run())


@pytest.mark.parametrize("back", [1, 2])
def test_each_migration_that_was_not_applied_is_named(database: str, back: int) -> None:
    assert missing(database) == []
    go_to(database, MIGRATIONS[-1 - back])
    found = missing(database)
    assert found[:back] == [f"migration {one}" for one in MIGRATIONS[-back:]]
    assert all("." in one for one in found[back:])


def test_an_empty_database_lacks_everything(empty_database: str) -> None:
    assert missing(empty_database)[: len(MIGRATIONS)] == [f"migration {one}" for one in MIGRATIONS]


def test_a_newer_form_lacks_nothing_and_a_column_removed_by_hand_does(database: str) -> None:
    execute(database, "UPDATE alembic_version SET version_num = 'of tomorrow'")
    assert missing(database) == []
    execute(database, "ALTER TABLE version_replicas DROP COLUMN cpu CASCADE")
    assert missing(database) == ["version_replicas.cpu"]
