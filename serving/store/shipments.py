"""Groups of records on their way into Postgres."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from serving.copy_format import FEEDBACK_COLUMNS, HEADER, PREDICTION_COLUMNS, TRAILER
from serving.journal_file import Entry

CHANNEL = "leadsman_shipments"
"""Notified by every shipment."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# One statement does what must happen once. If another shipper moved the journal, nothing is
# updated, no shipment is made, and the caller learns it from the empty result.
_BEGIN_SHIPMENT = f"""
WITH moved AS (
    UPDATE journals SET shipped_entry = $2, updated_at = clock_timestamp()
     WHERE id = $1 AND shipped_entry = $3
 RETURNING id
), made AS (
    INSERT INTO shipments (journal_id, predictions, predicted_from, predicted_to,
                           feedback, received_from, received_to)
    SELECT id, $4, $5, $6, $7, $8, $9 FROM moved
 RETURNING id
)
SELECT set_config('leadsman.shipment', id::text, true), pg_notify('{CHANNEL}', '') FROM made
"""


async def register_journal(connection: asyncpg.Connection, journal_id: UUID) -> int:
    """Make a journal known; return the last of its entries that is here."""
    await connection.execute(
        "INSERT INTO journals (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", journal_id
    )
    return int(
        await connection.fetchval("SELECT shipped_entry FROM journals WHERE id = $1", journal_id)
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


async def begin_shipment(
    connection: asyncpg.Connection, journal_id: UUID, entries: Sequence[Entry], *, after: int
) -> bool:
    """Number the group in this transaction and move the journal over it.

    Parameters
    ----------
    entries
        What the group holds, in order.
    after
        Last entry that is thought to be here.

    Returns
    -------
    bool
        False if the journal stands elsewhere; then nothing was done.
    """
    predicted_from = (e.predicted_from for e in entries if e.predicted_from is not None)
    predicted_to = (e.predicted_to for e in entries if e.predicted_to is not None)
    received_from = (e.received_from for e in entries if e.received_from is not None)
    received_to = (e.received_to for e in entries if e.received_to is not None)
    row = await connection.fetchrow(
        _BEGIN_SHIPMENT,
        journal_id,
        entries[-1].number,
        after,
        sum(e.prediction_count for e in entries),
        _moment(min(predicted_from, default=None)),
        _moment(max(predicted_to, default=None)),
        sum(e.feedback_count for e in entries),
        _moment(min(received_from, default=None)),
        _moment(max(received_to, default=None)),
    )
    return row is not None


async def copy_predictions(connection: asyncpg.Connection, rows: Sequence[bytes]) -> None:
    """Bring encoded rows into `predictions`, in a transaction that `begin_shipment` numbered."""
    await _copy(connection, "predictions", PREDICTION_COLUMNS, rows)


async def copy_feedback(connection: asyncpg.Connection, rows: Sequence[bytes]) -> None:
    """Bring encoded rows into `feedback`, in a transaction that `begin_shipment` numbered."""
    await _copy(connection, "feedback", FEEDBACK_COLUMNS, rows)


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]
) -> None:
    blob = b"".join((HEADER, *rows, TRAILER))
    if len(blob) > len(HEADER) + len(TRAILER):
        await connection.copy_to_table(
            table,
            # Bare bytes would be taken for the name of a file.
            source=memoryview(blob),  # type: ignore[arg-type]  # documented; the stubs forgot it
            columns=list(columns),
            format="binary",
        )
