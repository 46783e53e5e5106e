"""Brings the journal into Postgres, each entry exactly once."""

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from serving.copy_format import split_rows
from serving.journal import Journal
from serving.journal_file import Entry
from serving.store import shipments
from serving.store.partitions import days_around, ensure_partitions

GROUP_ROWS = 5_000
"""Most rows of one transaction: past it a COPY gets no cheaper."""
GROUP_BYTES = 16 * 2**20
"""Most bytes of one transaction, unless a single entry holds more."""
GATHERING_SECONDS = 0.1
"""How long a first record waits for others, unless an answer waits for Postgres. A group costs some
milliseconds, here, in Postgres and in the monitor that is told of it, however few its rows are."""
PARTITION_INTERVAL = 3600.0
CHECKPOINT_INTERVAL = 1.0
"""How much a power cut may take from an application whose answers do not wait for Postgres."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two tries to reach Postgres: doubled each time, with jitter."""
CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 60.0
"""A server that says nothing for so long is taken for lost."""

log = logging.getLogger("serving.shipping")

_Refused = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What Postgres says about a row rather than about itself."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far Postgres is behind."""

    rows: int
    size: int
    """Bytes."""
    seconds: float
    """Age of the oldest record that is not there; 0 if all are."""
    connected: bool


_AWAY = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # The driver's word when a connection dies between two states of its own.
    asyncpg.InternalClientError,
    sqlite3.Error,
)
"""What a lost or restarting Postgres, or a full disk, looks like."""


class Shipping:
    """Reads entries, ships groups of them, and drops what has arrived.

    Parameters
    ----------
    journal
        What is shipped; nobody else ships it.
    url
        `postgresql://user:password@host:port/database`.
    clock
        Seconds since 1970.
    """

    def __init__(
        self, journal: Journal, url: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._journal = journal
        self._url = url
        self._clock = clock
        self._connection: asyncpg.Connection | None = None
        self._partitioned_at: float | None = None
        self.shipped_rows = 0
        """Rows that this process brought to Postgres."""
        self.failures = 0
        """Times that Postgres was lost or not reached."""
        self.refused_rows = journal.file.rows_set_aside()
        """Rows that Postgres refused, set aside in the journal."""

    def lag(self) -> Lag:
        """How far Postgres is behind now."""
        backlog = self._journal.backlog
        age = 0.0 if backlog.oldest_us is None else self._clock() - backlog.oldest_us / 1e6
        connection = self._connection
        connected = connection is not None and not connection.is_closed()
        return Lag(backlog.rows, backlog.size, max(age, 0.0), connected)

    async def run(self) -> None:
        """Ship for ever; cancel it to stop. Postgres may come and go."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_on_disk())
            group.create_task(self._keep_shipping())

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing is left to ship; False if time ran out first. `run` does the work."""
        self._journal.flush()
        deadline = time.monotonic() + seconds
        while self._journal.backlog.rows:
            if time.monotonic() > deadline:
                return False
            self._journal.written.set()
            await asyncio.sleep(0.01)
        return True

    async def _keep_on_disk(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL)
            try:
                await asyncio.to_thread(self._journal.file.checkpoint)
                self._journal.file.bound_wal()
            except sqlite3.Error as error:
                log.error("checkpoint_failed error=%r", error)

    async def _keep_shipping(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._connect()
                while True:
                    await self._ship_what_is_there()
                    pause = FIRST_PAUSE
                    await self._wait_for_more()
            except shipments.JournalMovedError:
                # A commit of ours, sent before a connection was lost, arrived after all.
                self._disconnect()
            except _AWAY as error:
                # A full disk is worth waiting for as well. What had been committed is found out
                # at the next connection.
                self._disconnect()
                self.failures += 1
                log.warning("shipping_failed error=%r pause=%.2f", error, pause)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE)
            except BaseException:
                self._disconnect()
                raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            # Not in the orderly way, which waits for a server that may be gone.
            self._connection.terminate()
            self._connection = None

    async def _connect(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT
        )
        self._connection = connection
        # What a lost connection left unknown is known now, and what is there is not sent again.
        entry = await shipments.register_journal(connection, self._journal.file.id)
        self._journal.mark_shipped(entry)
        self._at = entry
        await self._make_partitions(connection)

    async def _make_partitions(self, connection: asyncpg.Connection) -> None:
        now = self._clock()
        if self._partitioned_at is not None and now - self._partitioned_at < PARTITION_INTERVAL:
            return
        try:
            made = await ensure_partitions(
                connection, days_around(datetime.fromtimestamp(now, UTC))
            )
        except asyncpg.LockNotAvailableError as error:
            # Rows have a place without them; the next group tries again.
            log.warning("partitions_not_made error=%r", error)
            return
        self._partitioned_at = now
        if made:
            log.info("partitions_made names=%s", ",".join(made))

    async def _wait_for_more(self) -> None:
        journal = self._journal
        try:
            # Wakes now and then: partitions are made ahead also when nothing is shipped.
            async with asyncio.timeout(PARTITION_INTERVAL / 4):
                await journal.written.wait()
        except TimeoutError:
            return
        try:
            async with asyncio.timeout(GATHERING_SECONDS):
                await journal.urgent.wait()
        except TimeoutError:
            return

    async def _ship_what_is_there(self) -> None:
        connection, journal = self._connection, self._journal
        assert connection is not None
        await self._make_partitions(connection)
        while True:
            journal.written.clear()
            entries = await journal.read(self._at, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES)
            if not entries:
                return
            await self._ship(connection, entries)
            if not journal.urgent.is_set() and sum(e.rows for e in entries) < GROUP_ROWS // 2:
                return

    async def _ship(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
        try:
            await shipments.ship(connection, self._journal.file.id, entries, after=self._at)
        except _Refused:
            # One row stops its whole COPY: halve until it stands alone with its turn.
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._ship(connection, entries[:middle])
                await self._ship(connection, entries[middle:])
                return
            await self._ship_row_by_row(connection, entries[0])
        self._arrived(entries)

    def _arrived(self, entries: Sequence[Entry]) -> None:
        self._at = entries[-1].number
        self.shipped_rows += sum(e.rows for e in entries)
        # Not at once: what has gathered meanwhile goes on its way before hundreds hear of this.
        asyncio.get_running_loop().call_soon(self._journal.mark_shipped, self._at)

    async def _ship_row_by_row(self, connection: asyncpg.Connection, entry: Entry) -> None:
        copies = (
            ("predictions", entry.predictions, shipments.copy_predictions),
            ("feedback", entry.feedback, shipments.copy_feedback),
        )
        async with connection.transaction():
            journal_id = self._journal.file.id
            await shipments.begin_shipment(connection, journal_id, [entry], after=self._at)
            for kind, rows, copy in copies:
                for position, (row, _) in enumerate(split_rows(rows)):
                    try:
                        async with connection.transaction():
                            await copy(connection, [row])
                    except _Refused as error:
                        # Kept before the commit that passes over it; a repetition keeps it once.
                        self._journal.file.set_aside(entry.number, kind, position, row, str(error))
                        log.error(
                            "row_refused kind=%s entry=%d error=%s", kind, entry.number, error
                        )
        self.refused_rows = self._journal.file.rows_set_aside()
