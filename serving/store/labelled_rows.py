"""Rows that labels came for, read off the record in order of commits: what online models learn."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from serving.store.policy_statistics import COMPLETED, Group, Position

_LABELLED = COMPLETED.format(columns="p.input, l.label, p.revision, p.predicted_at, p.id, p.flags")
_ROWS = f"""
    SELECT x.input, x.label, x.flags FROM ({_LABELLED}) x
      JOIN revisions r ON r.application_id = $7 AND r.revision = x.revision
     WHERE r.input_schema_id = $8
  ORDER BY x.predicted_at, x.id
"""
_BEFORE = """
    SELECT xact_id::text::bigint AS xact_id, id FROM shipments
     WHERE shipped_at < $1 ORDER BY shipments.xact_id DESC, shipments.id DESC LIMIT 1
"""
_NAMED = """
    SELECT EXISTS (SELECT 1 FROM revisions WHERE strpos(policy::text, '"' || $1 || '"') > 0)
"""
LOCK = 7_205_771_846
"""Of the advisory lock under which one process at a time lets models learn."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One answered input whose first label is known."""

    input: bytes
    """As the record has it."""
    label: bytes
    """JSON text."""
    flags: int
    """Of the answer."""


async def hold(connection: asyncpg.Connection) -> bool:
    """Whether this connection is the one that lets models learn, from now until it is closed."""
    held: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
    return held


async def position_at(connection: asyncpg.Connection, moment: datetime) -> Position:
    """The last shipment before a moment."""
    row = await connection.fetchrow(_BEFORE, moment)
    return (0, 0) if row is None else (row["xact_id"], row["id"])


async def completed(
    connection: asyncpg.Connection, group: Group, application_id: int, input_schema_id: int
) -> list[LabelledRow]:
    """Rows of one application and one form that a group completed, in order of their answers."""
    found = await connection.fetch(
        _ROWS, group.shipments, [application_id], str(group.after[0]), group.after[1],
        str(group.until[0]), group.until[1], application_id, input_schema_id,
    )  # fmt: skip
    return [LabelledRow(row["input"], row["label"], row["flags"]) for row in found]


async def was_routed(connection: asyncpg.Connection, ref: str) -> bool:
    """Whether any revision ever named a version."""
    named: bool = await connection.fetchval(_NAMED, ref)
    return named
