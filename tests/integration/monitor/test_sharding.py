"""Shards: who reads which part, and what a monitor may not do any more once another reads it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from migrations.upgrade import upgrade
from monitor.errors import LeaseLostError, ShardsDifferError, ShardsInUseError
from monitor.loop import turn_once
from monitor.records import START, Registry
from monitor.resharding import reshard
from monitor.shards import Shard, shard_names
from monitor.store import cursors, leases
from monitor.store.database import connect
from monitor.store.leases import Member
from monitor.tenure import Tenure
from tests.support.many_applications import conclusions_of, lay_many
from tests.support.monitoring import catch_up, rows_of, settings_for
from tests.support.postgres import sqlalchemy_url

TTL = timedelta(seconds=30)
ANNE, BERT, CARL = (
    Member(UUID(int=n), name) for n, name in ((1, "anne"), (2, "bert"), (3, "carl"))
)


def with_engine(url: str, work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def run() -> None:
        engine = connect(url)
        try:
            await work(engine)
        finally:
            await engine.dispose()

    asyncio.run(run())


async def lay_out(engine: AsyncEngine, count: int) -> None:
    async with engine.begin() as connection:
        await leases.lay_out(connection, count)


def test_an_application_belongs_to_one_shard() -> None:
    for count in (1, 3, 4):
        shards = [Shard(name) for name in shard_names(count)]
        for application in range(1, 50):
            assert sum(shard.holds(application) for shard in shards) == 1
    registry = Registry({}, {}, {})
    assert Shard().restrict(registry) is registry


def test_shards_are_shared_fairly_and_given_back(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 5)
        async with engine.connect() as anne, engine.connect() as bert:

            async def beat(connection: AsyncConnection, me: Member) -> list[str]:
                found = await leases.beat(connection, me, TTL)
                await connection.commit()
                return [shard.name for shard in found]

            assert len(await beat(anne, ANNE)) == 5
            assert await beat(bert, BERT) == []
            assert len(await beat(anne, ANNE)) == 3
            assert len(await beat(bert, BERT)) == 2
            await leases.leave(bert, BERT)
            await bert.commit()
            assert len(await beat(anne, ANNE)) == 5

    with_engine(database, work)


def test_leases_of_a_process_whose_session_is_gone_are_free_at_once(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 2)
        async with engine.connect() as anne:
            first = await leases.beat(anne, ANNE, TTL)
            await anne.commit()
            await anne.invalidate()
        async with engine.begin() as bert:
            for _ in range(100):
                second = await leases.beat(bert, BERT, TTL)
                if len(second) == 2:
                    break
                await asyncio.sleep(0.02)
        assert [s.token for s in first] == [1, 1]
        assert [s.token for s in second] == [2, 2]

    with_engine(database, work)


def test_a_turn_under_an_older_token_is_undone_at_its_end(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 1)
        async with engine.begin() as anne:
            [mine] = await leases.beat(anne, ANNE, TTL)
        async with engine.connect() as zombie:
            await cursors.lock_cursor(zombie, mine)
            # Another takes it while this turn is under way; nothing has ended its session.
            async with engine.begin() as other:
                await other.execute(text("UPDATE monitor_leases SET token = token + 1"))
            with pytest.raises(LeaseLostError):
                await cursors.move_cursor(zombie, mine, START)
        async with engine.connect() as late:
            with pytest.raises(LeaseLostError):
                await cursors.lock_cursor(late, mine)

    with_engine(database, work)


def test_whoever_takes_a_shard_over_ends_the_turn_that_is_stuck(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 1)
        async with engine.connect() as anne:
            [mine] = await leases.beat(anne, ANNE, timedelta(milliseconds=1))
            await anne.commit()
            async with engine.connect() as stuck:
                await cursors.lock_cursor(stuck, mine)
                async with engine.connect() as bert:
                    [taken] = await leases.beat(bert, BERT, TTL)
                    await bert.commit()
                    async with asyncio.timeout(10):
                        await cursors.lock_cursor(bert, taken)
                with pytest.raises(DBAPIError):
                    await cursors.move_cursor(stuck, mine, START)
                await stuck.invalidate()

    with_engine(database, work)


def test_another_number_of_shards_is_refused_by_name(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 2)
        with pytest.raises(ShardsDifferError, match=r"2 shards.*asks for 3.*--reshard 3"):
            await lay_out(engine, 3)

    with_engine(database, work)


def test_the_number_of_shards_changes_without_a_row_lost_or_read_twice(
    database: str, empty_database: str
) -> None:
    async def work(engine: AsyncEngine) -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url in (database, empty_database):
            await lay_many(url, shipments=10, rows=30)
        await catch_up(settings_for(empty_database))
        settings = settings_for(database, turn_rows=1)
        await lay_out(engine, 2)
        # One shard runs ahead of the other.
        for name, turns in (("1/2", 6), ("2/2", 2)):
            for _ in range(turns):
                await turn_once(engine, settings, shard=Shard(name))
        assert await reshard(engine, settings, 3) == 4
        rows = await rows_of(database, "SELECT shard, shipment_id FROM monitor_cursors ORDER BY 1")
        assert [row["shard"] for row in rows] == ["1/3", "2/3", "3/3"]
        assert len({row["shipment_id"] for row in rows}) == 1
        for name in shard_names(3):
            while await turn_once(engine, settings, shard=Shard(name)) is not None:
                pass

    with_engine(database, work)
    wanted, got = (asyncio.run(conclusions_of(url)) for url in (empty_database, database))
    assert wanted["alarms"]
    assert got == wanted


def test_the_shards_of_a_running_monitor_do_not_change(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        await lay_out(engine, 2)
        async with engine.connect() as anne:
            await leases.beat(anne, ANNE, TTL)
            await anne.commit()
            with pytest.raises(ShardsInUseError):
                await reshard(engine, settings_for(database), 3)

    with_engine(database, work)


def test_a_process_ends_when_postgres_goes_away_while_it_gives_back_its_shards(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    async def work(engine: AsyncEngine) -> None:
        tenure = Tenure(settings_for(database))
        keeping = asyncio.create_task(tenure.keep(engine))
        await tenure.changed.wait()
        monkeypatch.setattr(leases, "leave", away)
        keeping.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([keeping])
        assert keeping.cancelled()

    with_engine(database, work)
