"""Kills and losses between an answer and its row in Postgres: none is lost, none comes twice."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade
from serving.errors import JournalFullError
from serving.journal import Journal
from tests.support.postgres import sqlalchemy_url
from tests.support.records import encoded, plain_prediction
from tests.support.shipping import predictions_in, shipping, until

pytestmark = pytest.mark.faults
LIMIT = 2**30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A migrated server with every safety on; the test may kill it."""
    made = EmbeddedPostgres(tmp_path / "postgres")
    asyncio.run(upgrade(sqlalchemy_url(made.start())))
    yield made
    made.stop()


def _url(server: EmbeddedPostgres) -> str:
    password = (server.data_dir / "password").read_text()
    port = (server.data_dir / "port").read_text()
    return f"postgresql://app:{password}@127.0.0.1:{port}/postgres"


def _kill(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    psutil.Process(server.pid).kill()
    while server.poll() is None:
        time.sleep(0.001)


def _acknowledged(folder: Path) -> set[bytes]:
    data = (folder / "acknowledged").read_bytes()
    # A kill in the middle of the write leaves a part of an id, which no client has read.
    return {data[n : n + 16] for n in range(0, len(data) - len(data) % 16, 16)}


def _size(folder: Path) -> int:
    path = folder / "acknowledged"
    return path.stat().st_size if path.exists() else 0


def _recorder(folder: Path, url: str) -> "subprocess.Popen[bytes]":
    """Start the program, and wait until it acknowledges."""
    before = _size(folder)
    command = [sys.executable, "-m", "tests.support.recorder", str(folder / "journal.db"), url]
    process = subprocess.Popen([*command, str(folder / "acknowledged")])
    deadline = time.monotonic() + 60
    while _size(folder) == before:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


async def _everything_once(folder: Path, url: str) -> None:
    """Ship what is left; then each acknowledged record is there, and none twice."""
    journal = Journal(folder / "journal.db", LIMIT)
    async with shipping(journal, url) as ship:
        assert await ship.drain(30)
    journal.close()
    arrived = [record.id for record in await predictions_in(url)]
    assert len(arrived) == len(set(arrived))
    missing = _acknowledged(folder) - set(arrived)
    assert not missing
    # What was kept and not acknowledged may be there as well: at most a turn for each death.
    assert len(arrived) > 0


def test_a_killed_process_loses_and_repeats_nothing(tmp_path: Path, database: str) -> None:
    rng = random.Random(20261123)

    for _ in range(4):
        process = _recorder(tmp_path, database)
        # Some deaths in the first group, some among many.
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    asyncio.run(_everything_once(tmp_path, database))


def test_killed_postgres_loses_and_repeats_nothing(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    rng = random.Random(20261124)
    url = _url(server)
    process = _recorder(tmp_path, url)
    try:
        for _ in range(3):
            time.sleep(rng.uniform(0.3, 0.9))
            _kill(server)
            assert server.start() == url
        time.sleep(0.5)
    finally:
        process.kill()
        process.wait()
    asyncio.run(_everything_once(tmp_path, url))


def test_both_killed_at_once_lose_and_repeat_nothing(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    url = _url(server)
    process = _recorder(tmp_path, url)
    time.sleep(0.4)
    process.kill()
    _kill(server)
    process.wait()
    assert server.start() == url
    asyncio.run(_everything_once(tmp_path, url))


def test_without_postgres_the_journal_grows_to_its_limit_and_then_all_is_shipped(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    url = _url(server)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", 200_000)
        ids: set[bytes] = set()

        async def record() -> None:
            made = plain_prediction(time.time_ns() // 1000)
            await journal.append_prediction(encoded(made), made.predicted_at_us).kept()
            ids.add(made.id)

        async def record_for_ever() -> None:
            while True:
                await record()

        async with shipping(journal, url) as ship:
            for _ in range(20):
                await record()
            server.stop()
            with pytest.raises(JournalFullError) as caught:
                await record_for_ever()
            assert caught.value.status == 503
            assert journal.is_full or journal.backlog.size > 190_000
            assert not ship.lag().connected
            # Full stays full; nothing that was kept gives way.
            rows = journal.backlog.rows
            with pytest.raises(JournalFullError):
                await record()
            assert journal.backlog.rows == rows
            await asyncio.to_thread(server.start)
            assert await ship.drain(30)
            await record()
            assert await ship.drain(30)
        journal.close()
        arrived = [one.id for one in await predictions_in(url)]
        assert len(arrived) == len(ids)
        assert set(arrived) == ids

    asyncio.run(run())


def test_an_answer_that_waits_for_postgres_waits_until_it_is_back(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    url = _url(server)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        async with shipping(journal, url):
            first = plain_prediction(time.time_ns() // 1000)
            await journal.append_prediction(encoded(first), first.predicted_at_us).shipped()
            await asyncio.to_thread(_kill, server)
            second = plain_prediction(time.time_ns() // 1000)
            ticket = journal.append_prediction(encoded(second), second.predicted_at_us)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await ticket.shipped()
            assert ticket.is_kept
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(30):
                await ticket.shipped()
        assert {one.id for one in await predictions_in(url)} == {first.id, second.id}
        journal.close()

    asyncio.run(run())


def test_a_server_that_stops_to_answer_is_waited_for(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    """Stopped, not killed: connections stay open and nothing comes back."""
    url = _url(server)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        async with shipping(journal, url) as ship:
            first = plain_prediction(time.time_ns() // 1000)
            await journal.append_prediction(encoded(first), first.predicted_at_us).shipped()
            assert server.pid is not None
            process = psutil.Process(server.pid)
            family = [process, *process.children(recursive=True)]
            for one in family:
                one.suspend()
            try:
                for _ in range(100):
                    made = plain_prediction(time.time_ns() // 1000)
                    await journal.append_prediction(encoded(made), made.predicted_at_us).kept()
                await asyncio.sleep(0.3)
                assert journal.backlog.rows == 100
            finally:
                for one in family:
                    one.resume()
            assert await ship.drain(30)

        async def all_there() -> bool:
            return len(await predictions_in(url)) == 101

        await until(all_there)
        journal.close()

    asyncio.run(run())


def test_hours_of_losses_leave_no_descriptor_open(tmp_path: Path, database: str) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        async with shipping(journal, database) as ship:
            made = plain_prediction(time.time_ns() // 1000)
            await journal.append_prediction(encoded(made), made.predicted_at_us).shipped()
            before = psutil.Process().num_fds()
            for _ in range(10):
                connection = ship._connection
                assert connection is not None
                connection.terminate()
                made = plain_prediction(time.time_ns() // 1000)
                await journal.append_prediction(encoded(made), made.predicted_at_us).shipped()
            assert psutil.Process().num_fds() <= before + 1
        journal.close()
        assert len(await predictions_in(database)) == 11

    asyncio.run(run())
