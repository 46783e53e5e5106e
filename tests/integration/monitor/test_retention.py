"""Old days go once they are read, by age and task; the hours of every signal stay."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.loop import turn_once
from monitor.retention import Retention
from monitor.settings import Settings
from monitor.shards import Shard
from monitor.store.database import connect
from monitor.store.leases import lay_out
from monitor.store.summaries import HOUR_S, MINUTE_S, read_summaries, read_whole
from serving.store.partitions import days_around, ensure_partitions
from tests.support.many_applications import lay_many
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.shipped import START, Feedback, Prediction, prediction_id, ship

NOW = START + timedelta(days=100)
DAY = f"{START:%Y%m%d}"


def with_engine(url: str, work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def run() -> None:
        engine = connect(url)
        try:
            await work(engine)
        finally:
            await engine.dispose()

    asyncio.run(run())


async def make_days(url: str) -> None:
    connection = await asyncpg.connect(url)
    await ensure_partitions(connection, days_around(START))
    await connection.close()


async def drop(engine: AsyncEngine, settings: Settings) -> list[str]:
    return await Retention(settings, lambda: NOW).drop(engine)


def old_after(url: str, days: int = 90, **changes: Any) -> Settings:
    kept = {"retention_predictions": timedelta(days=days), "retention_points": timedelta(days=30)}
    return settings_for(url, **kept | changes)


def test_days_go_once_they_are_old_and_read_and_hours_stay(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay(database, bad_release(shipments=4, rows=50))
        settings = old_after(database)
        assert not [name for name in await drop(engine, settings) if DAY in name]
        await catch_up(settings)
        async with engine.begin() as connection:
            before = await read_summaries(connection, 1, "loss", step_s=HOUR_S)
        assert before
        dropped = await drop(engine, settings)
        assert {f"predictions_{DAY}", f"feedback_{DAY}"} <= set(dropped)
        for table in ("predictions", "feedback", "shipments", "signal_points"):
            assert await rows_of(database, f"SELECT count(*) FROM {table}") == [{"count": 0}]
        async with engine.begin() as connection:
            assert await read_summaries(connection, 1, "loss", step_s=HOUR_S) == before
            whole = await read_whole(connection, 1, "loss", "1")
        assert whole.n == sum(point.sums.n for point in before if point.subject == "1")
        # The record goes on where it was.
        shipping = await asyncpg.connect(database)
        await ship(shipping, [Prediction(prediction_id(NOW, Random(1)), NOW, 1)])
        await shipping.close()
        assert await turn_once(engine, settings) is not None

    with_engine(database, work)


def test_a_day_that_one_shard_has_not_read_stays(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay_many(database, applications=2, shipments=4, rows=20)
        settings = old_after(database)
        async with engine.begin() as connection:
            await lay_out(connection, 2)
        while await turn_once(engine, settings, shard=Shard("1/2")) is not None:
            pass
        assert not [name for name in await drop(engine, settings) if DAY in name]
        while await turn_once(engine, settings, shard=Shard("2/2")) is not None:
            pass
        assert f"predictions_{DAY}" in await drop(engine, settings)

    with_engine(database, work)


def test_a_day_into_which_somebody_writes_stays(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay(database, [])
        settings = old_after(database)
        await catch_up(settings)
        writer = await asyncpg.connect(database)
        transaction = writer.transaction()
        await transaction.start()
        await ship(writer, [Prediction(prediction_id(START, Random(1)), START, 1)])
        with pytest.raises(Exception, match="lock timeout"):
            await drop(engine, settings)
        await transaction.commit()
        assert f"predictions_{DAY}" not in await drop(engine, settings)
        await writer.close()

    with_engine(database, work)


def test_each_task_has_its_own_age(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay_many(database, applications=2, shipments=4, rows=20)
        async with engine.begin() as connection:
            await connection.execute(
                text("UPDATE applications SET task = 'regression' WHERE id = 2")
            )
        settings = old_after(database, retention_tasks={"regression": timedelta(days=365)})
        await catch_up(settings)
        assert not [name for name in await drop(engine, settings) if DAY in name]
        left = await rows_of(database, "SELECT DISTINCT application_id FROM predictions")
        assert left == [{"application_id": 2}]
        assert (await rows_of(database, "SELECT count(*) FROM feedback"))[0]["count"] > 0

    with_engine(database, work)


def test_without_a_setting_nothing_is_dropped(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay(database, bad_release(shipments=2, rows=10))
        await catch_up(settings_for(database))
        assert await drop(engine, settings_for(database)) == []

    with_engine(database, work)


def test_a_year_of_ten_million_rows_is_read_in_its_hours_at_once(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        # 10,512,000 rows: twenty a minute, over a year, as the turns would have summed them.
        for step_s, rows in ((HOUR_S, 1200), (MINUTE_S, 20)):
            async with engine.begin() as connection:
                await connection.execute(
                    text(
                        "INSERT INTO signal_summaries"
                        " SELECT 1, 'loss', CAST(:step AS int), '1', at, CAST(:n AS bigint), 1, 1"
                        " FROM generate_series(CAST(:start AS timestamptz),"
                        " CAST(:start AS timestamptz) + interval '365 days',"
                        " make_interval(secs => CAST(:step AS int))) AS at"
                    ),
                    {"step": step_s, "n": rows, "start": datetime(2025, 1, 1, tzinfo=UTC)},
                )
        async with engine.begin() as connection:
            points = await read_summaries(connection, 1, "loss", step_s=HOUR_S)
        assert sum(point.sums.n for point in points) > 10_000_000

    with_engine(database, work)


def test_a_label_that_waits_for_its_prediction_is_not_dropped_before_it(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await make_days(database)
        await lay(database, [])
        connection = await asyncpg.connect(database)
        identifier = prediction_id(START, Random(1))
        await ship(connection, [], [Feedback(identifier, START + timedelta(hours=1))])
        await catch_up(settings_for(database))
        # Retention keeps the day for as long as a prediction of it could be kept.
        longest = old_after(database, days=101)
        assert not [name for name in await drop(engine, longest) if DAY in name]
        await ship(connection, [Prediction(identifier, START, 1, 1)])
        await connection.close()
        await catch_up(settings_for(database))
        async with engine.begin() as transaction:
            assert (await read_whole(transaction, 1, "loss", "1")).n == 1

    with_engine(database, work)
