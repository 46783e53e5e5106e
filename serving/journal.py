"""Holds each record, safe from a crash, until Postgres has it."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from serving.awaited_shipments import AwaitedShipments, Tell, call
from serving.copy_format import (
    FeedbackRecord,
    PredictionRecord,
    decode_feedback,
    decode_predictions,
)
from serving.errors import JournalFailedError, JournalFullError
from serving.journal_file import ENTRY_OVERHEAD, Backlog, Entry, JournalFile, JournalUnusableError
from serving.newest_entries import NewestEntries

__all__ = ["Backlog", "Journal", "JournalUnusableError", "Ticket"]

_FOREVER_US = 2**62

FORGETTING_SECONDS = 0.1
"""Longest time for which the file keeps entries that Postgres has: that they are gone matters to
nobody, and taking many out at once costs little more than taking one."""

log = logging.getLogger("serving.journal")


@dataclass(slots=True, eq=False)
class _Turn:
    """Records of one turn of the event loop; they become one entry."""

    predictions: list[bytes] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)
    feedback: list[bytes] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    size: int = ENTRY_OVERHEAD
    entry: int | None = None
    error: Exception | None = None
    waiters: list[Tell] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.predicted) + len(self.received)

    def to_entry(self) -> Entry:
        return Entry(
            number=0,
            predictions=b"".join(self.predictions),
            prediction_count=len(self.predicted),
            predicted_from=min(self.predicted, default=None),
            predicted_to=max(self.predicted, default=None),
            feedback=b"".join(self.feedback),
            feedback_count=len(self.received),
            received_from=min(self.received, default=None),
            received_to=max(self.received, default=None),
        )


class Ticket:
    """How far one record has come."""

    __slots__ = ("_journal", "_turn")

    def __init__(self, journal: "Journal", turn: _Turn) -> None:
        self._journal = journal
        self._turn = turn

    @property
    def is_kept(self) -> bool:
        """Whether the journal has it."""
        return self._turn.entry is not None

    @property
    def is_shipped(self) -> bool:
        """Whether Postgres has it."""
        entry = self._turn.entry
        return entry is not None and entry <= self._journal.shipped_upto

    @property
    def failed(self) -> bool:
        """Whether the disk refused it."""
        return self._turn.error is not None

    async def kept(self) -> None:
        """Wait until the journal has it.

        Raises
        ------
        JournalFullError, JournalFailedError
            If the disk did not take it.
        """
        # A future for each waiter: cancelling one must not cancel the others.
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_kept(partial(_settle, waiter))
        await waiter

    def on_kept(self, tell: Tell) -> None:
        """Call when the journal has it or could not take it; at once if that is known."""
        turn = self._turn
        if turn.entry is not None or turn.error is not None:
            tell(turn.error)
        else:
            turn.waiters.append(tell)

    async def shipped(self) -> None:
        """Wait until Postgres has committed it, for as long as that takes; raises as `kept`."""
        await self.kept()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_shipped(partial(_settle, waiter))
        await waiter

    def on_shipped(self, tell: Tell, within: float | None = None) -> None:
        """Call when Postgres has committed a record that is kept; at once if it has.

        Parameters
        ----------
        within
            Seconds after which `tell` hears `DatabaseUnavailableError` instead; none for ever.
        """
        entry = self._turn.entry
        assert entry is not None, "the journal has it"
        if self.is_shipped:
            tell(None)
        else:
            self._journal.await_shipment(entry, within, tell)


def _settle(waiter: "asyncio.Future[None]", error: Exception | None) -> None:
    # A client that went away has cancelled its wait.
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)


class Journal:
    """One file, one writer: the event loop of the process that opened it.

    Everything appended in one turn of the loop is written at its end as one entry, in one commit.

    Parameters
    ----------
    path
        The file; made if absent. Beside it stand SQLite's own two and `<path>.lock`.
    limit_bytes
        Size of the unshipped records at which no more are taken.

    Raises
    ------
    JournalUnusableError
        If the file is damaged, not a journal, of another form, or another process has it.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.file = JournalFile(path)
        self.written = asyncio.Event()
        """Set by each write; shipping clears it."""
        self.urgent = asyncio.Event()
        """Set while somebody waits for Postgres: shipping does not wait for more to gather."""
        self._turn = _Turn()
        self.shipped_upto = 0
        """Last entry that Postgres is known to have."""
        self._awaited = AwaitedShipments()
        self._forgetting: asyncio.TimerHandle | None = None
        self._newest = NewestEntries(self.file.last_entry())
        start = self.file.backlog()
        self._rows, self._size, self._oldest_us = start.rows, start.size, start.oldest_us
        self._closed = False

    @property
    def backlog(self) -> Backlog:
        """What waits for Postgres; this turn's records come with its end."""
        return Backlog(self._rows, self._size, self._oldest_us)

    @property
    def is_full(self) -> bool:
        """Whether not even the smallest record would be taken."""
        return self._size + self._turn.size >= self.limit_bytes

    def append_prediction(self, row: bytes, predicted_at_us: int) -> Ticket:
        """Record a prediction.

        Parameters
        ----------
        row
            As `copy_format.encode_prediction` makes it.
        predicted_at_us
            The row's own `predicted_at`, microseconds since 1970.

        Raises
        ------
        JournalFullError
            If the limit has been reached.
        """
        turn = self._room_for(row)
        turn.predictions.append(row)
        turn.predicted.append(predicted_at_us)
        return Ticket(self, turn)

    def append_feedback(self, row: bytes, received_at_us: int) -> Ticket:
        """Record a report of a label; as `append_prediction`."""
        turn = self._room_for(row)
        turn.feedback.append(row)
        turn.received.append(received_at_us)
        return Ticket(self, turn)

    def _room_for(self, row: bytes) -> _Turn:
        turn = self._turn
        if self._size + turn.size + len(row) > self.limit_bytes:
            raise JournalFullError(self._size, self.limit_bytes)
        if turn.size == ENTRY_OVERHEAD:
            asyncio.get_running_loop().call_soon(self.flush)
        turn.size += len(row)
        return turn

    def flush(self) -> None:
        """Write what this turn recorded; the event loop calls it."""
        turn = self._turn
        if not turn.rows:
            return
        self._turn = _Turn()
        try:
            written = turn.to_entry()
            turn.entry = self.file.add(written)
        except sqlite3.Error as error:
            turn.error = self._explain(error)
            _tell(turn)
            return
        self._rows += turn.rows
        self._size += turn.size
        if self._oldest_us is None:
            self._oldest_us = written.oldest_us
        # The file has it: answers leave, and what is left to do here keeps nobody waiting.
        _tell(turn)
        # A ticket may be held for long; the bytes are in the file.
        turn.predictions.clear()
        turn.feedback.clear()
        self._newest.add(msgspec.structs.replace(written, number=turn.entry))
        self.written.set()

    def _explain(self, error: sqlite3.Error) -> Exception:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return JournalFullError(self._size, self.limit_bytes)
        return JournalFailedError(str(error))

    async def read(self, after: int, *, max_rows: int, max_bytes: int) -> list[Entry]:
        """Entries after one, in order; as `JournalFile.read`, which is asked for older ones."""
        newest = self._newest.after(after, max_rows=max_rows, max_bytes=max_bytes)
        if newest is not None:
            return newest
        return await asyncio.to_thread(
            self.file.read, after, max_rows=max_rows, max_bytes=max_bytes
        )

    def mark_shipped(self, upto: int) -> None:
        """Postgres has every entry up to this one: drop them here, and tell those who wait.

        Parameters
        ----------
        upto
            Number of the last entry that is there.
        """
        if upto <= self.shipped_upto:
            return
        dropped = self._newest.drop(upto, after=self.shipped_upto)
        if dropped is None:
            # More than memory holds: the file counts what it forgets, once what was counted is out.
            self._forget()
            dropped = self.file.drop(upto)
            self._oldest_us = self.file.oldest_us()
        else:
            self._oldest_us = self._newest.oldest_us
            if self._forgetting is None:
                loop = asyncio.get_running_loop()
                self._forgetting = loop.call_later(FORGETTING_SECONDS, self._forget)
        self._rows -= dropped[0]
        self._size -= dropped[1]
        self.shipped_upto = upto
        self._awaited.arrived(upto)
        if not self._awaited:
            self.urgent.clear()

    def _forget(self) -> None:
        """Take out of the file what Postgres has."""
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        try:
            self.file.drop(self.shipped_upto)
        except sqlite3.Error as error:
            # The next time takes them out as well.
            log.error("forgetting_failed error=%r", error)

    def await_shipment(self, entry: int, within: float | None, tell: Tell) -> None:
        """Call when Postgres has an entry that it does not have yet; as `Ticket.on_shipped`."""
        self._awaited.add(entry, within, tell)
        self.urgent.set()

    def pending_feedback(self) -> Iterator[FeedbackRecord]:
        """Reports of labels that Postgres does not have yet, oldest first."""
        for rows in self.file.find("feedback", -_FOREVER_US, _FOREVER_US, after=self.shipped_upto):
            yield from decode_feedback(rows)

    def find_predictions(
        self, prediction_id: bytes, from_us: int, to_us: int
    ) -> list[PredictionRecord]:
        """Rows of one prediction that Postgres does not have yet. May be called in a thread.

        Parameters
        ----------
        from_us, to_us
            When it was made: microseconds since 1970, the end not included.
        """
        return [
            record
            for rows in self.file.find("predictions", from_us, to_us, after=self.shipped_upto)
            if prediction_id in rows
            for record in decode_predictions(rows)
            if record.id == prediction_id
        ]

    def close(self) -> None:
        """Write what is left, bring it to the disk, and give the file free."""
        if not self._closed:
            self._closed = True
            self.flush()
            self._forget()
            self.file.close()


def _tell(turn: _Turn) -> None:
    """Tell everybody who waits for a turn's entry."""
    waiters, turn.waiters = turn.waiters, []
    for tell in waiters:
        call(tell, turn.error)
