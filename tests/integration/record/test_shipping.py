"""From the journal into a real Postgres."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.copy_format import FeedbackRecord, PredictionRecord
from serving.journal import Journal
from serving.shipping import Shipping
from serving.store import shipments
from tests.support.postgres import execute
from tests.support.records import (
    NOW_US,
    encoded,
    feedback_rows,
    plain_prediction,
    prediction_rows,
)
from tests.support.shipping import feedback_in, predictions_in, shipping, until

LIMIT = 2**26


def _append(journal: Journal, record: PredictionRecord | FeedbackRecord) -> None:
    if isinstance(record, PredictionRecord):
        journal.append_prediction(encoded(record), record.predicted_at_us)
    else:
        journal.append_feedback(encoded(record), record.received_at_us)


def _canonical(record: PredictionRecord) -> tuple[object, ...]:
    """A row as a value: jsonb keeps the meaning of a context, not its text."""
    context = (
        None if record.context is None else json.dumps(json.loads(record.context), sort_keys=True)
    )
    return (repr(replace(record, context=None)), context)


@pytest.fixture(params=[True, False], ids=["one message", "in steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship by what the driver can do, and as if it could not."""
    monkeypatch.setattr(shipments, "ONE_MESSAGE", request.param)


def test_the_driver_takes_a_group_in_one_message() -> None:
    # Where a release of the driver cannot any more, all goes on by more messages, more slowly.
    assert shipments.ONE_MESSAGE


@given(st.lists(st.lists(prediction_rows() | feedback_rows(), min_size=1, max_size=5), max_size=5))
@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_journaled_is_what_arrives(
    tmp_path_factory: pytest.TempPathFactory,
    database: str,
    turns: list[list[PredictionRecord | FeedbackRecord]],
) -> None:
    execute(database, "TRUNCATE predictions, feedback, shipments, journals")
    # No two rows share an id; that is another test's case.
    ids = (n.to_bytes(16, "big") for n in count())
    turns = [[replace(record, id=next(ids)) for record in turn] for turn in turns]

    async def run() -> None:
        journal = Journal(tmp_path_factory.mktemp("journal") / "journal.db", LIMIT)
        async with shipping(journal, database) as ship:
            for turn in turns:
                for record in turn:
                    _append(journal, record)
                await asyncio.sleep(0)
            assert await ship.drain(20)
            assert ship.refused_rows == 0
        journal.close()
        records = [record for turn in turns for record in turn]
        predictions = [r for r in records if isinstance(r, PredictionRecord)]
        feedback = [r for r in records if isinstance(r, FeedbackRecord)]
        arrived = [_canonical(r) for r in await predictions_in(database)]
        assert sorted(arrived, key=repr) == sorted(map(_canonical, predictions), key=repr)
        assert sorted(await feedback_in(database), key=repr) == sorted(feedback, key=repr)

    asyncio.run(run())


@pytest.mark.usefixtures("way")
def test_a_shipment_tells_what_it_brought(tmp_path: Path, database: str) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        heard = asyncio.Event()
        connection = await asyncpg.connect(database)
        await connection.add_listener("leadsman_shipments", lambda *_: heard.set())
        async with shipping(journal, database):
            tickets = [
                journal.append_prediction(encoded(plain_prediction(NOW_US + n)), NOW_US + n)
                for n in (5, 0, 9)
            ]
            await asyncio.gather(*(ticket.shipped() for ticket in tickets))
            async with asyncio.timeout(5):
                await heard.wait()
        row = await connection.fetchrow("SELECT * FROM shipments")
        assert row is not None
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        assert row["predictions"] == 3
        assert row["predicted_from"] == epoch + timedelta(microseconds=NOW_US)
        assert row["predicted_to"] == epoch + timedelta(microseconds=NOW_US + 9)
        assert (row["feedback"], row["received_from"], row["received_to"]) == (0, None, None)
        assert row["journal_id"] == journal.file.id
        assert await connection.fetchval("SELECT DISTINCT shipment FROM predictions") == row["id"]
        await connection.close()
        journal.close()

    asyncio.run(run())


@pytest.mark.usefixtures("way")
def test_a_row_that_postgres_refuses_is_set_aside_and_stops_no_other(
    tmp_path: Path, database: str
) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        bad = encoded(plain_prediction(context=b"{no json"))
        for n in range(40):
            _append(journal, plain_prediction(NOW_US + n))
            if n in (7, 23):
                journal.append_prediction(bad, NOW_US)
            if n % 3 == 0:
                await asyncio.sleep(0)
        async with shipping(journal, database) as ship:
            assert await ship.drain(20)
            assert ship.refused_rows == 2
        assert len(await predictions_in(database)) == 40
        kept = journal.file._writer.execute("SELECT kind, row, reason FROM set_aside").fetchall()
        assert [(kind, row) for kind, row, _ in kept] == [("predictions", bad)] * 2
        assert "json" in kept[0][2]
        journal.close()

    asyncio.run(run())


@pytest.mark.usefixtures("way")
def test_a_group_that_was_committed_unnoticed_is_not_sent_again(
    tmp_path: Path, database: str
) -> None:
    """The answer to a COMMIT is lost: the process dies before it forgets the entries."""

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        for n in range(10):
            _append(journal, plain_prediction(NOW_US + n))
            await asyncio.sleep(0)
        journal.mark_shipped, forget = lambda upto: None, journal.mark_shipped  # type: ignore[method-assign]  # the death
        first = Shipping(journal, database)
        task = asyncio.create_task(first.run())

        async def all_there() -> bool:
            return len(await predictions_in(database)) == 10

        await until(all_there)
        task.cancel()
        await asyncio.wait([task])
        assert journal.backlog.rows == 10
        journal.mark_shipped = forget  # type: ignore[method-assign]
        async with shipping(journal, database) as ship:
            assert await ship.drain(20)
        assert len(await predictions_in(database)) == 10
        journal.close()

    asyncio.run(run())


@pytest.mark.usefixtures("way")
def test_a_journal_moved_by_a_late_commit_is_followed(tmp_path: Path, database: str) -> None:
    """A commit of a lost connection arrives while the next one ships already."""

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        async with shipping(journal, database) as ship:
            await journal.append_prediction(encoded(plain_prediction()), NOW_US).shipped()
            ghost = await asyncpg.connect(database)
            moving = ghost.transaction()
            await moving.start()
            await ghost.execute("UPDATE journals SET shipped_entry = shipped_entry + 1")
            late = journal.append_prediction(encoded(plain_prediction()), NOW_US)
            await asyncio.sleep(0.2)
            assert not late.is_shipped
            await moving.commit()
            await ghost.close()
            await late.shipped()
            await journal.append_prediction(encoded(plain_prediction()), NOW_US).shipped()
            assert await ship.drain(20)
        # The ghost said that it brought the second row, so nobody brought it again.
        assert len(await predictions_in(database)) == 2
        journal.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 15"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_driver_calls_a_lost_connection_shipping_goes_on(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ship_group, failures = shipments.ship, [error]

    async def ship_or_fail(*args: Any, **named: Any) -> None:
        if failures:
            raise failures.pop()
        await ship_group(*args, **named)

    monkeypatch.setattr(shipments, "ship", ship_or_fail)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        async with shipping(journal, database) as ship:
            first = plain_prediction(NOW_US)
            async with asyncio.timeout(20):
                await journal.append_prediction(encoded(first), NOW_US).shipped()
            assert ship.failures == 1
        journal.close()
        assert [one.id for one in await predictions_in(database)] == [first.id]

    asyncio.run(run())


def test_the_lag_is_told(tmp_path: Path, database: str) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        ship = Shipping(journal, database, clock=lambda: NOW_US / 1e6 + 90)
        assert ship.lag().seconds == 0
        _append(journal, plain_prediction())
        await asyncio.sleep(0)
        lag = ship.lag()
        assert (lag.rows, lag.connected) == (1, False)
        assert lag.seconds == pytest.approx(90)
        assert lag.size > 0
        journal.close()

    asyncio.run(run())
