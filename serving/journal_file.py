"""The journal's file: SQLite in WAL mode, one process at a time.

A commit is a write into the page cache: it survives the death of this process and costs no fsync.
`checkpoint` brings the file to the disk, in a thread.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

APPLICATION_ID = 0x4C53_4D4A
"""Marks the file as a journal of ours, in SQLite's header."""
FORMAT = 1
ENTRY_OVERHEAD = 64
"""Bytes counted for an entry besides its rows."""
ENTRIES_SKIPPED_AT_OPEN = 1_000_000
"""A power cut may take entries that the disk did not have yet and Postgres already had. Their
numbers must not be given again: rows under them would count as shipped. Skipping more numbers than
can pass between two checkpoints makes sure of that."""
WAL_LIMIT = 64 * 2**20
"""Bytes of write-ahead log at which it is begun anew, at the cost of a short wait."""
CHECKED_BYTES = 256 * 2**20
"""Longest file that is looked through at the start; in a longer one damage shows when read."""
BUSY_SECONDS = 0.25

_TABLES = """
CREATE TABLE journal (id BLOB NOT NULL, format INTEGER NOT NULL) STRICT;
CREATE TABLE entries (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The bytes come last: what stands before them is read without them.
    size INTEGER NOT NULL,
    prediction_count INTEGER NOT NULL, predicted_from INTEGER, predicted_to INTEGER,
    feedback_count INTEGER NOT NULL, received_from INTEGER, received_to INTEGER,
    predictions BLOB NOT NULL, feedback BLOB NOT NULL
) STRICT;
CREATE TABLE set_aside (
    entry INTEGER NOT NULL, kind TEXT NOT NULL, position INTEGER NOT NULL,
    row BLOB NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (entry, kind, position)
) STRICT;
"""
_COLUMNS = """
entry, predictions, prediction_count, predicted_from, predicted_to,
feedback, feedback_count, received_from, received_to
"""
_OLDEST = """
min(coalesce(predicted_from, received_from), coalesce(received_from, predicted_from))
"""


class JournalUnusableError(Exception):
    """The file cannot serve as the journal: damaged, foreign, of another form, or in use."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used as the journal: {reason}")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one turn of the event loop recorded. Times in microseconds since 1970."""

    number: int
    """0 before the file has given one."""
    predictions: bytes
    """Rows as `copy_format` makes them, one after the other."""
    prediction_count: int
    predicted_from: int | None
    predicted_to: int | None
    feedback: bytes
    feedback_count: int
    received_from: int | None
    received_to: int | None

    @property
    def rows(self) -> int:
        """Records in the entry."""
        return self.prediction_count + self.feedback_count

    @property
    def oldest_us(self) -> int:
        """Time of its earliest record."""
        return min(us for us in (self.predicted_from, self.received_from) if us is not None)

    @property
    def size(self) -> int:
        """Bytes it counts for against the limit."""
        return len(self.predictions) + len(self.feedback) + ENTRY_OVERHEAD


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for Postgres."""

    rows: int
    size: int
    """Bytes."""
    oldest_us: int | None
    """Time of the first entry's earliest record, microseconds since 1970; None if none waits."""


class JournalFile:
    """One file under a lock; `read`, `find` and `checkpoint` may be called from threads.

    Raises
    ------
    JournalUnusableError
        If the file is damaged, not a journal, of another form, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading, self._keeping = threading.Lock(), threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._claim()
        except OSError as error:
            raise JournalUnusableError(path, error.strerror or str(error)) from error
        try:
            self._recognise()
            self._writer = self._connect()
            self.id = self._prepare()
            self._reader, self._keeper = self._connect(), self._connect()
        except OSError as error:
            os.close(self._lock)
            raise JournalUnusableError(path, error.strerror or str(error)) from error
        except sqlite3.Error as error:
            os.close(self._lock)
            raise JournalUnusableError(path, str(error)) from error
        except JournalUnusableError:
            os.close(self._lock)
            raise

    def _claim(self) -> int:
        lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise JournalUnusableError(self.path, "another process has it open") from None
        return lock

    def _recognise(self) -> None:
        """Look before SQLite touches the file: a foreign one stays as it is."""
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        with self.path.open("rb") as file:
            head = file.read(100)
        if not head:
            return
        if not head.startswith(b"SQLite format 3\0"):
            raise JournalUnusableError(self.path, "expected an SQLite file, found something else")
        # A crash at the file's birth leaves the mark in the write-ahead log alone.
        found = int.from_bytes(head[68:72], "big")
        if found != APPLICATION_ID and not (found == 0 and Path(f"{self.path}-wal").exists()):
            raise JournalUnusableError(self.path, "it is an SQLite file of another program")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL").close()
        connection.execute("PRAGMA synchronous = NORMAL").close()
        # Checkpoints fsync; they are made in a thread, never in the middle of an answer.
        connection.execute("PRAGMA wal_autocheckpoint = 0").close()
        return connection

    def _prepare(self) -> UUID:
        writer = self._writer
        if not writer.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            writer.executescript(
                f"BEGIN; {_TABLES} PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
            )
        if self.path.stat().st_size <= CHECKED_BYTES:
            (found,) = writer.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise JournalUnusableError(self.path, f"it is damaged: {found}")
        writer.execute("BEGIN IMMEDIATE")
        if not writer.execute("SELECT 1 FROM journal").fetchone():
            writer.execute("INSERT INTO journal VALUES (?, ?)", (uuid4().bytes, FORMAT))
            writer.execute("INSERT INTO sqlite_sequence VALUES ('entries', 0)")
        identity, form = writer.execute("SELECT id, format FROM journal").fetchone()
        if form != FORMAT:
            raise JournalUnusableError(self.path, f"expected form {FORMAT}, found form {form}")
        writer.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'entries'",
            (ENTRIES_SKIPPED_AT_OPEN,),
        )
        writer.execute("COMMIT")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        return UUID(bytes=identity)

    def add(self, entry: Entry) -> int:
        """Write an entry; return the number it got."""
        cursor = self._writer.execute(
            """
            INSERT INTO entries (predictions, prediction_count, predicted_from, predicted_to,
                                 feedback, feedback_count, received_from, received_to, size)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                entry.predictions,
                entry.prediction_count,
                entry.predicted_from,
                entry.predicted_to,
                entry.feedback,
                entry.feedback_count,
                entry.received_from,
                entry.received_to,
                entry.size,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop(self, upto: int) -> tuple[int, int]:
        """Forget the entries up to a number; return how many rows and bytes they held."""
        dropped = self._writer.execute(
            """
            DELETE FROM entries WHERE entry <= ?
              RETURNING prediction_count + feedback_count, size
            """,
            (upto,),
        ).fetchall()
        return sum(rows for rows, _ in dropped), sum(size for _, size in dropped)

    def backlog(self) -> Backlog:
        """Sum up what is there; looks at every entry, so for the start alone."""
        rows, size = self._writer.execute(
            "SELECT coalesce(sum(prediction_count + feedback_count), 0), coalesce(sum(size), 0)"
            " FROM entries"
        ).fetchone()
        return Backlog(rows, size, self.oldest_us())

    def last_entry(self) -> int:
        """Number of the last entry that is there; 0 if none is."""
        (last,) = self._writer.execute("SELECT coalesce(max(entry), 0) FROM entries").fetchone()
        return int(last)

    def oldest_us(self) -> int | None:
        """Time of the earliest record of the first entry."""
        first = self._writer.execute(
            f"SELECT {_OLDEST} FROM entries ORDER BY entry LIMIT 1"
        ).fetchone()
        return None if first is None else int(first[0])

    def read(self, after: int, *, max_rows: int, max_bytes: int) -> list[Entry]:
        """Entries after one, in order; at least one if there is any.

        Parameters
        ----------
        after
            Number of the last entry that is not wanted.
        max_rows, max_bytes
            Where to stop.
        """
        entries: list[Entry] = []
        rows = size = 0
        with (
            self._reading,
            closing(
                self._reader.execute(
                    f"SELECT {_COLUMNS} FROM entries WHERE entry > ? ORDER BY entry", (after,)
                )
            ) as cursor,
        ):
            for values in cursor:
                entry = Entry(*values)
                rows += entry.rows
                size += entry.size
                if entries and (rows > max_rows or size > max_bytes):
                    break
                entries.append(entry)
        return entries

    def find(self, kind: str, from_us: int, to_us: int, *, after: int = 0) -> list[bytes]:
        """Rows of every entry after one that spans some of [from_us, to_us), oldest first.

        Parameters
        ----------
        kind
            `predictions` by their `predicted_at`, or `feedback` by their `received_at`.
        """
        first, last = {
            "predictions": ("predicted_from", "predicted_to"),
            "feedback": ("received_from", "received_to"),
        }[kind]
        with self._reading:
            found: Iterable[tuple[bytes]] = self._reader.execute(
                f"SELECT {kind} FROM entries WHERE entry > ? AND {first} < ? AND {last} >= ?"
                " ORDER BY entry",
                (after, to_us, from_us),
            ).fetchall()
        return [rows for (rows,) in found]

    def set_aside(self, entry: int, kind: str, position: int, row: bytes, reason: str) -> None:
        """Keep a row that Postgres refuses, out of the way of the others.

        Parameters
        ----------
        entry, kind, position
            Where it stood: the entry, predictions or feedback, and its place there.
        """
        self._writer.execute(
            "INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?)",
            (entry, kind, position, row, reason),
        )

    def rows_set_aside(self) -> int:
        """How many rows Postgres has refused."""
        return int(self._writer.execute("SELECT count(*) FROM set_aside").fetchone()[0])

    def checkpoint(self) -> None:
        """Bring what is written to the disk for good; waits for the disk, not for a writer."""
        with self._keeping:
            self._keeper.execute("PRAGMA wal_checkpoint(PASSIVE)").close()

    def bound_wal(self) -> None:
        """Begin the write-ahead log anew if it is long; short after a `checkpoint`."""
        wal = Path(f"{self.path}-wal")
        if wal.exists() and wal.stat().st_size > WAL_LIMIT:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def close(self) -> None:
        """Bring everything to the disk and give the file free."""
        with self._reading, self._keeping:
            self._reader.close()
            self._keeper.close()
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        self._writer.close()
        os.close(self._lock)
