"""Days of the hot tables."""

import asyncio
from datetime import UTC, date, datetime

import asyncpg

from serving.store.partitions import days_around, ensure_partitions
from serving.store.shipments import copy_predictions
from tests.support.records import encoded, plain_prediction

DAY = date(2026, 11, 23)


def _us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]  # year, month, day … as in the constructor


async def _insert(connection: asyncpg.Connection, *moments: int) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL leadsman.shipment = '1'")
        await copy_predictions(connection, [encoded(plain_prediction(us)) for us in moments])


async def _places(connection: asyncpg.Connection) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT tableoid::regclass::text AS place, count(*) FROM predictions GROUP BY 1"
    )
    return {row["place"]: row["count"] for row in rows}


def test_days_begin_yesterday_and_end_in_a_week() -> None:
    days = days_around(datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    assert (days[0], days[-1], len(days)) == (date(2026, 12, 30), date(2027, 1, 7), 9)


def test_a_row_goes_to_its_day_and_a_stray_one_to_the_default(database: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database)
        made = await ensure_partitions(connection, [DAY, date(2026, 11, 24)])
        assert sorted(made) == [
            "feedback_20261123",
            "feedback_20261124",
            "predictions_20261123",
            "predictions_20261124",
        ]
        assert await ensure_partitions(connection, [DAY]) == []
        await _insert(
            connection,
            _us(2026, 11, 23, 0, 0, 0),
            _us(2026, 11, 23, 23, 59, 59) + 999_999,
            _us(2026, 11, 24, 0, 0, 0),
            _us(2031, 1, 1, 12, 0, 0),
        )
        assert await _places(connection) == {
            "predictions_20261123": 2,
            "predictions_20261124": 1,
            "predictions_default": 1,
        }
        await connection.close()

    asyncio.run(run())


def test_rows_move_from_the_default_when_their_day_is_made(database: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database)
        await _insert(connection, _us(2026, 11, 23, 5, 0, 0), _us(2031, 1, 1, 12, 0, 0))
        assert await _places(connection) == {"predictions_default": 2}
        await ensure_partitions(connection, [DAY])
        assert await _places(connection) == {"predictions_20261123": 1, "predictions_default": 1}
        await connection.close()

    asyncio.run(run())


def test_a_partition_has_the_indexes_of_its_table(database: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database)
        await ensure_partitions(connection, [DAY])
        kinds = await connection.fetch(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'predictions_20261123' ORDER BY 1"
        )
        definitions = "\n".join(row["indexdef"] for row in kinds)
        assert "USING brin (predicted_at)" in definitions
        assert "UNIQUE" in definitions
        assert len(kinds) == 2
        await connection.close()

    asyncio.run(run())


def test_two_processes_make_them_once(database: str) -> None:
    async def run() -> None:
        connections = [await asyncpg.connect(database) for _ in range(4)]
        days = days_around(datetime(2026, 11, 23, tzinfo=UTC))
        made = await asyncio.gather(*(ensure_partitions(c, days) for c in connections))
        assert sum(map(len, made)) == 2 * len(days)
        for connection in connections:
            await connection.close()

    asyncio.run(run())
