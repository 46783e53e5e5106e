"""Whether the database has the form that this program reads and writes."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.schema import ServingTable

MIGRATIONS = (
    "a1f0c5d2e301",
    "ace1bed9ad9c",
    "694557e32805",
    "47454f40e3a0",
    "7f33dfcafa4b",
    "c4d1e86a7b52",
    "5d1c8e0b7a42",
    "8e2f4b6a91d3",
    "8f2b6d4e1a97",
    "8e27b0c5d913",
    "3c9a71e4f206",
    "d41f7c20b95e",
    "7be2a40c91d3",
)
"""Every migration in its order, the newest last. Serving does not import the migrations, which need
tools that a serving machine may lack; a test compares this with them."""


async def lacking(connection: AsyncConnection) -> list[str]:
    """What is missing, as `migration ID` or `table.column`; empty where nothing is.

    More than what is known here is no fault: migrations run before the processes that need them,
    so older processes see a newer form for a while. Columns are looked at as well, since a database
    may have been changed by hand.
    """
    return [*await _migrations_lacking(connection), *await _columns_lacking(connection)]


async def _migrations_lacking(connection: AsyncConnection) -> list[str]:
    # Without the table nothing was ever applied; naming it in a query would be an error then.
    kept = await connection.scalar(text("SELECT to_regclass('alembic_version')::text"))
    applied: list[str] = []
    if kept is not None:
        rows = await connection.execute(text("SELECT version_num FROM alembic_version"))
        applied = [row.version_num for row in rows]
    if any(one not in MIGRATIONS for one in applied):
        return []
    done = max((MIGRATIONS.index(one) + 1 for one in applied), default=0)
    return [f"migration {one}" for one in MIGRATIONS[done:]]


async def _columns_lacking(connection: AsyncConnection) -> list[str]:
    rows = await connection.execute(
        text("""
            SELECT table_name, column_name FROM information_schema.columns
             WHERE table_schema = current_schema()
        """)
    )
    found = {(row.table_name, row.column_name) for row in rows}
    wanted = {
        (table.name, column.name)
        for table in ServingTable.metadata.sorted_tables
        for column in table.columns
    }
    return sorted(f"{table}.{column}" for table, column in wanted - found)
