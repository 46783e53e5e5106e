"""Whether the database has the tables and columns that this program reads and writes."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.schema import ServingTable


async def lacking(connection: AsyncConnection) -> list[str]:
    """Tables and columns that are missing, as `table.column`, sorted; empty where all are there.

    More than that is no fault: migrations run before the processes that need them, so that older
    ones see tables of a newer form for a while.
    """
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
