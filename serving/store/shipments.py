"""Groups of records on their way into Postgres."""

import inspect
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from serving.copy_format import FEEDBACK_COLUMNS, HEADER, PREDICTION_COLUMNS, TRAILER
from serving.journal_file import Entry

CHANNEL = "leadsman_shipments"
"""Notified by every shipment."""

ONE_MESSAGE = list(
    inspect.signature(getattr(asyncpg.Connection, "_copy_in", lambda: None)).parameters
) == ["self", "copy_stmt", "source", "timeout"]
"""Whether the driver can be given a whole statement to copy by, which it does not promise. Its
promised ways take four messages where this takes one, and answers that wait for Postgres wait for
each."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JournalMovedError(Exception):
    """The journal stands elsewhere in Postgres than thought."""


# One statement does what must happen once. If another shipper moved the journal, nothing is
# updated, and the shipment has no journal, which its table refuses. Prepared by name, so that a
# group can run it in one message with its rows.
_PREPARE = f"""
PREPARE begin_shipment (
    uuid, bigint, bigint, int, timestamptz, timestamptz, int, timestamptz, timestamptz
) AS
WITH moved AS (
    UPDATE journals SET shipped_entry = $2, updated_at = clock_timestamp()
     WHERE id = $1 AND shipped_entry = $3
 RETURNING id
), made AS (
    INSERT INTO shipments (journal_id, predictions, predicted_from, predicted_to,
                           feedback, received_from, received_to)
    VALUES ((SELECT id FROM moved), $4, $5, $6, $7, $8, $9)
 RETURNING id
)
SELECT set_config('leadsman.shipment', id::text, true), pg_notify('{CHANNEL}', '') FROM made
"""


async def register_journal(connection: asyncpg.Connection, journal_id: UUID) -> int:
    """Make a journal known on a new connection; return the last of its entries that is here."""
    await connection.execute(
        "INSERT INTO journals (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", journal_id
    )
    await connection.execute(_PREPARE)
    return int(
        await connection.fetchval("SELECT shipped_entry FROM journals WHERE id = $1", journal_id)
    )


async def ship(
    connection: asyncpg.Connection, journal_id: UUID, entries: Sequence[Entry], *, after: int
) -> None:
    """Bring a group here and move the journal over it, in a transaction of its own.

    The group goes in one message and comes back as one answer, with labels in two: at full load
    each further one would wait for a turn of a busy event loop, and answers wait for the group.

    Parameters
    ----------
    entries
        What the group holds, in order; all shipped by `register_journal`'s connection.
    after
        Last entry that is thought to be here.

    Raises
    ------
    JournalMovedError
        If the journal stands elsewhere.
    """
    if not ONE_MESSAGE:
        await _ship_in_steps(connection, journal_id, entries, after=after)
        return
    copies = [
        (_copy_statement(table, columns), blob)
        for table, columns, blob in (
            ("predictions", PREDICTION_COLUMNS, _blob(e.predictions for e in entries)),
            ("feedback", FEEDBACK_COLUMNS, _blob(e.feedback for e in entries)),
        )
        if len(blob) > len(HEADER) + len(TRAILER)
    ]
    try:
        for number, (statement, blob) in enumerate(copies):
            before = f"BEGIN; {_begin(journal_id, entries, after)}; " if number == 0 else ""
            behind = "; COMMIT" if number == len(copies) - 1 else ""
            if connection.is_closed():
                raise asyncpg.InterfaceError("the connection is closed")
            # The driver's own copying, which takes the statement as it is: statements around it
            # travel with it, and Postgres runs none after one that fails.
            await connection._copy_in(  # type: ignore[attr-defined]  # what copy_to_table calls
                f"{before}{statement}{behind}", memoryview(blob), None
            )
    except asyncpg.PostgresError as error:
        if connection.is_in_transaction() and not connection.is_closed():
            await connection.execute("ROLLBACK")
        if _says_moved(error):
            raise JournalMovedError from error
        raise


async def _ship_in_steps(
    connection: asyncpg.Connection, journal_id: UUID, entries: Sequence[Entry], *, after: int
) -> None:
    """As `ship`, by what every release of the driver promises."""
    async with connection.transaction():
        await begin_shipment(connection, journal_id, entries, after=after)
        for copy, rows in (
            (copy_predictions, [e.predictions for e in entries]),
            (copy_feedback, [e.feedback for e in entries]),
        ):
            if any(rows):
                await copy(connection, rows)


async def begin_shipment(
    connection: asyncpg.Connection, journal_id: UUID, entries: Sequence[Entry], *, after: int
) -> None:
    """Number a group in the transaction that is open and move the journal over it; as `ship`."""
    try:
        await connection.execute(_begin(journal_id, entries, after))
    except asyncpg.NotNullViolationError as error:
        raise JournalMovedError from error


def _says_moved(error: asyncpg.PostgresError) -> bool:
    return isinstance(error, asyncpg.NotNullViolationError) and error.column_name == "journal_id"


def _begin(journal_id: UUID, entries: Sequence[Entry], after: int) -> str:
    """Write the call of the prepared statement: numbers, moments and a UUID, nothing to escape."""
    last, predictions = entries[-1].number, sum(e.prediction_count for e in entries)
    predicted = _span((e.predicted_from for e in entries), (e.predicted_to for e in entries))
    received = _span((e.received_from for e in entries), (e.received_to for e in entries))
    feedback = sum(e.feedback_count for e in entries)
    return (
        f"EXECUTE begin_shipment ('{journal_id}', {last}, {after}, {predictions}, {predicted},"
        f" {feedback}, {received})"
    )


def _span(starts: Iterable[int | None], ends: Iterable[int | None]) -> str:
    first = min((us for us in starts if us is not None), default=None)
    last = max((us for us in ends if us is not None), default=None)
    return f"{_moment(first)}, {_moment(last)}"


def _moment(microseconds: int | None) -> str:
    if microseconds is None:
        return "NULL"
    return f"'{(_EPOCH + timedelta(microseconds=microseconds)).isoformat()}'"


async def copy_predictions(connection: asyncpg.Connection, rows: Sequence[bytes]) -> None:
    """Bring encoded rows into `predictions`, in a transaction that `begin_shipment` numbered."""
    await _copy(connection, "predictions", PREDICTION_COLUMNS, rows)


async def copy_feedback(connection: asyncpg.Connection, rows: Sequence[bytes]) -> None:
    """Bring encoded rows into `feedback`, in a transaction that `begin_shipment` numbered."""
    await _copy(connection, "feedback", FEEDBACK_COLUMNS, rows)


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]
) -> None:
    await connection.copy_to_table(
        table,
        # Bare bytes would be taken for the name of a file.
        source=memoryview(_blob(rows)),  # type: ignore[arg-type]  # documented; the stubs forgot it
        columns=list(columns),
        format="binary",
    )


def _blob(rows: Iterable[bytes]) -> bytes:
    return b"".join((HEADER, *rows, TRAILER))


def _copy_statement(table: str, columns: Sequence[str]) -> str:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
