"""Labels against a real Postgres: early, late, repeated, corrected, at once, without it."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from serving.errors import JournalFullError
from serving.feedback import FeedbackDesk, Taken
from serving.ids import new_prediction_id, text_of
from serving.journal import Journal
from serving.reports import Report
from tests.support.postgres import execute, sqlalchemy_url
from tests.support.records import encoded, plain_prediction
from tests.support.shipping import feedback_in, shipping

LIMIT = 2**24
NOWHERE = "postgresql://app:x@127.0.0.1:1/none"


@dataclass(slots=True)
class Place:
    """A desk with its journal."""

    journal: Journal
    desk: FeedbackDesk
    database: str

    async def label(self, *pairs: tuple[bytes, Any]) -> Taken:
        """Report labels in one request."""
        return await self.desk.take([{"prediction_id": text_of(i), "label": v} for i, v in pairs])


@asynccontextmanager
async def place(folder: Path, database: str, limit: int = LIMIT) -> AsyncIterator[Place]:
    """Open a desk, and close it as a stopped process would."""
    journal = Journal(folder / "journal.db", limit)
    engine = create_async_engine(sqlalchemy_url(database))
    try:
        yield Place(journal, FeedbackDesk(journal, engine), database)
    finally:
        await engine.dispose()
        journal.close()


def _id() -> bytes:
    return new_prediction_id(time.time_ns() // 1000)


def _counts(taken: Taken) -> tuple[int, int, int, int]:
    return taken.accepted, taken.duplicates, taken.corrected, len(taken.rejected)


@pytest.mark.parametrize("shipped", [True, False])
def test_repeated_and_corrected_labels_are_known_in_the_journal_and_in_postgres(
    tmp_path: Path, database: str, shipped: bool
) -> None:
    one = _id()

    async def run() -> None:
        steps = [(1, (1, 0, 0, 0)), (1, (0, 1, 0, 0)), (0, (0, 0, 1, 0)), (1, (0, 0, 1, 0))]
        for label, expected in steps:
            # A new desk each time: nothing is remembered but what is kept.
            async with place(tmp_path, database) as here:
                assert _counts(await here.label((one, label))) == expected
                if shipped:
                    async with shipping(here.journal, database) as ship:
                        assert await ship.drain(20)
        async with place(tmp_path, database) as here, shipping(here.journal, database) as ship:
            assert await ship.drain(20)
        labels = [json.loads(row.label) for row in await feedback_in(database)]
        assert labels == [1, 0, 1]

    asyncio.run(run())


def test_one_request_may_hold_everything(tmp_path: Path, database: str) -> None:
    one, two = _id(), _id()

    async def run() -> None:
        async with place(tmp_path, database) as here:
            taken = await here.desk.take(
                [
                    {"prediction_id": text_of(one), "label": 1},
                    {"prediction_id": "garbage", "label": 1},
                    {"prediction_id": text_of(one), "label": 1},
                    {"prediction_id": text_of(two), "label": 0},
                    {"prediction_id": text_of(one), "label": 0},
                    "nonsense",
                ]
            )
            assert _counts(taken) == (2, 1, 1, 2)
            assert [(r.index, r.code) for r in taken.rejected] == [
                (1, "invalid_prediction_id"),
                (5, "invalid_report"),
            ]
            assert here.journal.backlog.rows == 3
            moments = [record.received_at_us for record in here.journal.pending_feedback()]
            assert moments == sorted(set(moments))

    asyncio.run(run())


def test_equal_labels_at_once_are_recorded_once(tmp_path: Path, database: str) -> None:
    one = _id()

    async def run() -> None:
        async with place(tmp_path, database) as here:
            taken = await asyncio.gather(*(here.label((one, 1)) for _ in range(20)))
            assert sum(t.accepted for t in taken) == 1
            assert sum(t.duplicates for t in taken) == 19
            assert here.journal.backlog.rows == 1

    asyncio.run(run())


def test_a_label_may_come_before_its_prediction_is_shipped(tmp_path: Path, database: str) -> None:
    now_us = time.time_ns() // 1000
    record = plain_prediction(now_us)

    async def run() -> None:
        async with place(tmp_path, database) as here:
            assert _counts(await here.label((record.id, 1))) == (1, 0, 0, 0)
            here.journal.append_prediction(encoded(record), now_us)
            async with shipping(here.journal, database) as ship:
                assert await ship.drain(20)
            assert _counts(await here.label((record.id, 1))) == (0, 1, 0, 0)
            connection = await asyncpg.connect(database)
            joined = await connection.fetchval(
                "SELECT count(*) FROM predictions p JOIN feedback f ON f.prediction_id = p.id"
            )
            await connection.close()
            assert joined == 1

    asyncio.run(run())


def test_a_label_must_fit_the_task_of_a_known_prediction(tmp_path: Path, database: str) -> None:
    now_us = time.time_ns() // 1000
    record = plain_prediction(now_us)
    execute(
        database,
        "INSERT INTO applications (id, name, task, latency_objective_ms)"
        " VALUES (1, 'price', 'regression', 100)",
    )

    async def run() -> None:
        async with place(tmp_path, database) as here:
            here.journal.append_prediction(encoded(record), now_us)
            async with shipping(here.journal, database) as ship:
                assert await ship.drain(20)
            taken = await here.label((record.id, "dear"), (record.id, 3.5))
            assert _counts(taken) == (1, 0, 0, 1)
            assert taken.rejected[0].code == "invalid_label"
            assert "regression" in taken.rejected[0].detail

    asyncio.run(run())


def test_labels_are_taken_without_postgres(tmp_path: Path) -> None:
    async def run() -> None:
        ids = [_id() for _ in range(50)]
        async with place(tmp_path, NOWHERE) as here:
            started = time.monotonic()
            for one in ids:
                assert _counts(await here.label((one, 1))) == (1, 0, 0, 0)
            assert _counts(await here.label((ids[0], 1))) == (0, 1, 0, 0)
            # Postgres is not asked again for each.
            assert time.monotonic() - started < 10
        async with place(tmp_path, NOWHERE) as here:
            assert _counts(await here.label((ids[7], 0))) == (0, 0, 1, 0)

    asyncio.run(run())


def test_a_full_journal_takes_no_label_and_forgets_that_it_came(
    tmp_path: Path, database: str
) -> None:
    async def run() -> None:
        row = len(encoded(plain_prediction()))
        async with place(tmp_path, database, limit=2 * row + 300) as here:
            full = False
            for _ in range(20):
                one = _id()
                try:
                    await here.label((one, 1))
                except JournalFullError:
                    full = True
                    break
            assert full
            rows = here.journal.backlog.rows
            async with shipping(here.journal, database) as ship:
                assert await ship.drain(20)
            assert _counts(await here.label((one, 1))) == (1, 0, 0, 0)
            assert len(await feedback_in(database)) == rows

    asyncio.run(run())


def test_a_disk_that_refuses_leaves_nothing_known(tmp_path: Path, database: str) -> None:
    one = _id()

    async def run() -> None:
        async with place(tmp_path, database) as here:
            writer = here.journal.file._writer
            (pages,) = writer.execute("PRAGMA page_count").fetchone()
            writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
            filler = struct.pack("8192d", *range(8192))
            with pytest.raises(JournalFullError):
                await here.journal.append_feedback(filler, 1).kept()
            ticket = here.journal.append_feedback(filler, 1)
            with pytest.raises(JournalFullError):
                # In the same turn as the filler, which the disk does not take.
                await asyncio.gather(here.desk._kept([(one, here.desk._record(_report(one)))]))
            assert ticket.failed
            writer.execute(f"PRAGMA max_page_count = {2**30}").fetchall()
            assert _counts(await here.label((one, 1))) == (1, 0, 0, 0)

    asyncio.run(run())


def _report(prediction_id: bytes) -> Report:
    return Report(prediction_id, 1, None)
