"""The journal by itself: turns, limits, tickets, opening again."""

import asyncio
import sqlite3
import struct
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.copy_format import (
    FeedbackRecord,
    PredictionRecord,
    decode_feedback,
    decode_predictions,
)
from serving.errors import DatabaseUnavailableError, JournalFailedError, JournalFullError
from serving.journal import FORGETTING_SECONDS, Journal, JournalUnusableError
from serving.journal_file import APPLICATION_ID, ENTRY_OVERHEAD, JournalFile
from tests.support.records import (
    NOW_US,
    encoded,
    feedback_rows,
    plain_prediction,
    prediction_rows,
)

LIMIT = 2**20
EVERYTHING = {"max_rows": 10**9, "max_bytes": 2**40}


@given(st.lists(st.lists(prediction_rows() | feedback_rows(), min_size=1, max_size=4), max_size=5))
@settings(deadline=None, max_examples=30)
def test_each_turn_is_one_entry_and_nothing_is_changed(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[list[PredictionRecord | FeedbackRecord]],
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.db"

    async def write() -> None:
        journal = Journal(path, LIMIT)
        for turn in turns:
            tickets = [
                journal.append_prediction(encoded(record), record.predicted_at_us)
                if isinstance(record, PredictionRecord)
                else journal.append_feedback(encoded(record), record.received_at_us)
                for record in turn
            ]
            assert not any(ticket.is_kept for ticket in tickets)
            await asyncio.gather(*(ticket.kept() for ticket in tickets))
        journal.close()

    asyncio.run(write())
    file = JournalFile(path)
    entries = file.read(0, **EVERYTHING)
    file.close()
    assert len(entries) == len(turns)
    for entry, turn in zip(entries, turns, strict=True):
        predictions = [r for r in turn if isinstance(r, PredictionRecord)]
        feedback = [r for r in turn if isinstance(r, FeedbackRecord)]
        assert list(decode_predictions(entry.predictions)) == predictions
        assert list(decode_feedback(entry.feedback)) == feedback
        assert (entry.prediction_count, entry.feedback_count) == (len(predictions), len(feedback))
        moments = [r.predicted_at_us for r in predictions]
        assert entry.predicted_from == min(moments, default=None)
        assert entry.predicted_to == max(moments, default=None)
        moments = [r.received_at_us for r in feedback]
        assert entry.received_from == min(moments, default=None)
        assert entry.received_to == max(moments, default=None)


async def _append(journal: Journal, now_us: int = NOW_US) -> None:
    record = plain_prediction(now_us)
    await journal.append_prediction(encoded(record), record.predicted_at_us).kept()


def test_the_backlog_is_the_same_after_opening_again(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        await _append(journal, NOW_US)
        await _append(journal, NOW_US + 5)
        before, identity = journal.backlog, journal.file.id
        journal.close()
        again = Journal(tmp_path / "journal.db", LIMIT)
        assert again.backlog == before
        assert (before.rows, before.oldest_us) == (2, NOW_US)
        assert again.file.id == identity
        again.mark_shipped(again.file.read(0, **EVERYTHING)[0].number)
        assert (again.backlog.rows, again.backlog.oldest_us) == (1, NOW_US + 5)
        again.mark_shipped(again.file.read(0, **EVERYTHING)[0].number)
        assert (again.backlog.rows, again.backlog.size, again.backlog.oldest_us) == (0, 0, None)
        again.close()

    asyncio.run(run())


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    async def run() -> None:
        numbers = []
        for _ in range(3):
            journal = Journal(tmp_path / "journal.db", LIMIT)
            await _append(journal)
            numbers += [entry.number for entry in journal.file.read(0, **EVERYTHING)]
            journal.mark_shipped(numbers[-1])
            journal.close()
        assert numbers == sorted(set(numbers))

    asyncio.run(run())


def test_a_full_journal_takes_nothing_until_some_is_shipped(tmp_path: Path) -> None:
    async def run() -> None:
        row = encoded(plain_prediction())
        journal = Journal(tmp_path / "journal.db", 3 * (len(row) + ENTRY_OVERHEAD))
        for _ in range(3):
            await journal.append_prediction(row, NOW_US).kept()
        assert journal.is_full
        with pytest.raises(JournalFullError) as caught:
            journal.append_prediction(row, NOW_US)
        assert caught.value.headers["Retry-After"]
        with pytest.raises(JournalFullError):
            journal.append_feedback(row, NOW_US)
        journal.mark_shipped(journal.file.read(0, **EVERYTHING)[0].number)
        await journal.append_prediction(row, NOW_US).kept()
        journal.close()

    asyncio.run(run())


def test_one_turn_cannot_pass_the_limit(tmp_path: Path) -> None:
    async def run() -> None:
        row = encoded(plain_prediction())
        journal = Journal(tmp_path / "journal.db", 10 * len(row))
        kept = [journal.append_prediction(row, NOW_US) for _ in range(9)]
        with pytest.raises(JournalFullError):
            journal.append_prediction(row, NOW_US)
        await asyncio.gather(*(ticket.kept() for ticket in kept))
        assert journal.backlog.size <= journal.limit_bytes
        assert journal.backlog.rows == len(kept)
        journal.close()

    asyncio.run(run())


def test_a_waiter_that_goes_away_takes_nobody_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        ticket = journal.append_prediction(encoded(plain_prediction()), NOW_US)
        going, staying = (
            asyncio.create_task(ticket.shipped()),
            asyncio.create_task(ticket.shipped()),
        )
        await asyncio.sleep(0.01)
        assert journal.urgent.is_set()
        going.cancel()
        await asyncio.sleep(0)
        journal.mark_shipped(journal.file.read(0, **EVERYTHING)[0].number)
        await staying
        assert ticket.is_shipped
        assert not journal.urgent.is_set()
        await ticket.shipped()
        journal.close()

    asyncio.run(run())


def test_a_write_that_fails_is_told_to_those_who_wait(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ticket = journal.append_prediction(encoded(plain_prediction()), NOW_US)
        with pytest.raises(JournalFailedError, match="locked"):
            await ticket.kept()
        with pytest.raises(JournalFailedError):
            await ticket.shipped()
        assert ticket.failed
        assert journal.backlog.rows == 0
        other.execute("ROLLBACK")
        other.close()
        await _append(journal)
        journal.close()

    asyncio.run(run())


def test_a_full_disk_is_a_full_journal(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", 2**30)
        pages = journal.file._writer.execute("PRAGMA page_count").fetchone()[0]
        journal.file._writer.execute(f"PRAGMA max_page_count = {pages + 8}").fetchall()
        row = encoded(plain_prediction(values=(0.0,) * 8192))
        with pytest.raises(JournalFullError):
            await journal.append_prediction(row, NOW_US).kept()
        await _append(journal)
        journal.close()

    asyncio.run(run())


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", LIMIT)
    with pytest.raises(JournalUnusableError, match="another process has it open"):
        Journal(tmp_path / "journal.db", LIMIT)
    journal.close()
    Journal(tmp_path / "journal.db", LIMIT).close()


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE somebody (name)")
    connection.close()


def _damaged(path: Path) -> None:
    Journal(path, LIMIT).close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def _cut(path: Path) -> None:
    Journal(path, LIMIT).close()
    with path.open("r+b") as file:
        file.truncate(5000)


def _newer(path: Path) -> None:
    Journal(path, LIMIT).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE journal SET format = 99")
    connection.commit()
    connection.close()


def _text(path: Path) -> None:
    path.write_text("some notes of somebody\n" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [_foreign, _damaged, _cut, _newer, _text, _folder])
def test_a_file_that_is_no_journal_gives_one_clear_error_and_is_left_alone(
    tmp_path: Path, spoil: object
) -> None:
    path = tmp_path / "journal.db"
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(
        JournalUnusableError, match=r"journal\.db cannot be used as the journal: \w"
    ):
        Journal(path, LIMIT)
    if spoil in (_foreign, _text):
        assert path.read_bytes() == before


def test_the_mark_stands_where_sqlite_keeps_it(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db", LIMIT).close()
    head = (tmp_path / "journal.db").read_bytes()[:100]
    assert struct.unpack_from("!I", head, 68) == (APPLICATION_ID,)


def test_a_prediction_is_found_before_it_is_shipped(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        records = [plain_prediction(NOW_US + n * 1000) for n in range(5)]
        for record in records:
            await journal.append_prediction(encoded(record), record.predicted_at_us).kept()
        wanted = records[3]
        from_us = wanted.predicted_at_us // 1000 * 1000
        assert journal.find_predictions(wanted.id, from_us, from_us + 1000) == [wanted]
        assert journal.find_predictions(bytes(16), from_us, from_us + 1000) == []
        journal.close()

    asyncio.run(run())


def test_a_long_write_ahead_log_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        for _ in range(20):
            await _append(journal)
        wal = tmp_path / "journal.db-wal"
        journal.file.checkpoint()
        journal.file.bound_wal()
        assert wal.stat().st_size > 0
        monkeypatch.setattr("serving.journal_file.WAL_LIMIT", 0)
        journal.file.bound_wal()
        assert wal.stat().st_size == 0
        assert len(journal.file.read(0, **EVERYTHING)) == 20
        journal.close()

    asyncio.run(run())


def _note(heard: list[tuple[int, Exception | None]], place: int, error: Exception | None) -> None:
    heard.append((place, error))


def test_what_waits_for_postgres_is_told_in_order_and_only_what_has_arrived(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        heard: list[tuple[int, Exception | None]] = []
        for place in range(3):
            ticket = journal.append_prediction(encoded(plain_prediction()), NOW_US)
            await ticket.kept()
            ticket.on_shipped(partial(_note, heard, place), 60)
        first, second, _ = journal.file.read(0, **EVERYTHING)
        journal.mark_shipped(second.number)
        assert heard == [(0, None), (1, None)]
        assert journal.urgent.is_set()
        journal.mark_shipped(first.number)
        assert (journal.shipped_upto, journal.backlog.rows) == (second.number, 1)
        journal.close()

    asyncio.run(run())


def test_who_waits_too_long_for_postgres_hears_that_it_is_away(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        heard: list[tuple[str, Exception | None]] = []
        ticket = journal.append_prediction(encoded(plain_prediction()), NOW_US)
        await ticket.kept()
        ticket.on_shipped(lambda error: heard.append(("short", error)), 0.01)
        ticket.on_shipped(lambda error: heard.append(("long", error)), 60)
        await asyncio.sleep(0.03)
        assert [(name, type(error)) for name, error in heard] == [
            ("short", DatabaseUnavailableError)
        ]
        journal.mark_shipped(journal.file.read(0, **EVERYTHING)[0].number)
        assert heard[1:] == [("long", None)]
        journal.close()

    asyncio.run(run())


def test_the_file_forgets_what_was_shipped_a_moment_later(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", LIMIT)
        shipped = plain_prediction(NOW_US)
        await journal.append_prediction(encoded(shipped), NOW_US).kept()
        await _append(journal, NOW_US + 1)
        first, second = journal.file.read(0, **EVERYTHING)
        assert journal.find_predictions(shipped.id, NOW_US, NOW_US + 1) == [shipped]
        journal.mark_shipped(first.number)
        # It is there no more for anybody who asks, whether or not its bytes still are.
        assert (journal.backlog.rows, journal.backlog.oldest_us) == (1, NOW_US + 1)
        assert not journal.find_predictions(shipped.id, NOW_US, NOW_US + 1)
        await asyncio.sleep(FORGETTING_SECONDS * 1.5)
        assert journal.file.read(0, **EVERYTHING) == [second]
        journal.close()

    asyncio.run(run())
