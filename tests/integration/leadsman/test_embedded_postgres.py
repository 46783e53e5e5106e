"""The embedded server's whole life, with the real programs."""

import asyncio

import asyncpg


def test_a_test_gets_a_migrated_database(database: str) -> None:
    async def tables() -> int:
        connection = await asyncpg.connect(database)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM predictions"))
        finally:
            await connection.close()

    assert asyncio.run(tables()) == 0
