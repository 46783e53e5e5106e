"""What policies learned: the cursor, the feedback behind it, and the sums."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from serving.policies.base import ArmStatistics

CHANNEL = "leadsman_policies"
"""Notified by every turn that learned something."""

Position = tuple[int, int]
"""Writing transaction and number of a shipment: places in the order of commits."""
StateKey = tuple[int, str, str]
"""Application, name of the policy's state, key."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A revision whose policy learns."""

    application_id: int
    revision: int
    task: str
    policy: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """An answer whose label has come."""

    application_id: int
    revision: int
    version_id: int
    flags: int
    propensity: float
    output: bytes
    label: bytes
    """JSON text, as the output."""
    context: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Shipments to learn from."""

    shipments: list[int]
    after: Position
    until: Position


# One process learns at a time; another passes by instead of waiting for it.
_HOLD = "SELECT xact_id, shipment FROM policy_cursor FOR UPDATE SKIP LOCKED"
# Below the oldest open transaction nothing can be committed any more: nothing is stepped over.
_NEWEST = """
    SELECT xact_id::text::bigint AS xact_id, id
      FROM shipments
     WHERE xact_id < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY shipments.xact_id DESC, shipments.id DESC
     LIMIT 1
"""
_SHIPMENTS = """
    SELECT xact_id::text::bigint AS xact_id, id, predictions + feedback AS rows
      FROM shipments
     WHERE (xact_id, id) > ($1::text::xid8, $2) AND (xact_id, id) <= ($3::text::xid8, $4)
  ORDER BY shipments.xact_id, shipments.id
     LIMIT 1000
"""
_GROUNDS = """
    SELECT r.application_id, r.revision, a.task, r.policy::text AS policy
      FROM revisions r JOIN applications a ON a.id = r.application_id
     WHERE r.policy ->> 'kind' = ANY($1::text[])
"""
_MOMENT = """
    timestamptz 'epoch' + ('x' || encode(substring(uuid_send({id}) FROM 1 FOR 6), 'hex'))
      ::bit(48)::bigint * interval '1 millisecond'
"""
# An answer counts in the turn in which it and its first label have both come: repetitions and
# corrections come after the first and are never counted.
COMPLETED = f"""
    WITH spans AS (
        SELECT min(predicted_from) AS predicted_from, max(predicted_to) AS predicted_to,
               min(received_from) AS received_from, max(received_to) AS received_to
          FROM shipments WHERE id = ANY($1::bigint[])
    ), touched AS (
        SELECT f.prediction_id AS id FROM feedback f
         WHERE f.shipment = ANY($1)
           AND f.received_at BETWEEN (SELECT received_from FROM spans)
                                 AND (SELECT received_to FROM spans)
         UNION
        SELECT p.id FROM predictions p
         WHERE p.shipment = ANY($1) AND p.application_id = ANY($2::int[])
           AND p.predicted_at BETWEEN (SELECT predicted_from FROM spans)
                                  AND (SELECT predicted_to FROM spans)
    ), named AS (
        SELECT id, {_MOMENT.format(id="id")} AS moment FROM touched
    ), labels AS (
        SELECT DISTINCT ON (n.id) n.id, n.moment, f.label, s.xact_id, s.id AS shipment
          FROM named n
          JOIN feedback f ON f.prediction_id = n.id
                         AND f.received_at >= n.moment - interval '1 minute'
          JOIN shipments s ON s.id = f.shipment
         WHERE (s.xact_id, s.id) <= ($5::text::xid8, $6)
      ORDER BY n.id, s.xact_id, s.id, f.received_at, f.id
    )
    SELECT {{columns}}
      FROM labels l
      JOIN predictions p ON p.id = l.id AND p.predicted_at >= l.moment
                        AND p.predicted_at < l.moment + interval '1 millisecond'
      JOIN shipments s ON s.id = p.shipment
     WHERE p.application_id = ANY($2) AND p.output IS NOT NULL
       AND (s.xact_id, s.id) <= ($5::text::xid8, $6)
       AND (   (s.xact_id, s.id) > ($3::text::xid8, $4)
            OR (l.xact_id, l.shipment) > ($3::text::xid8, $4))
"""
"""Answers that a group of shipments completed; `columns` of the answer `p` and its label `l`."""
_LESSONS = COMPLETED.format(
    columns="p.application_id, p.revision, p.version_id, p.flags, p.propensity, p.output, l.label,"
    " p.context::text AS context"
)
_MOVE = """
    UPDATE policy_cursor SET xact_id = $1, shipment = $2, turn = turn + $3, updated_at = now()
 RETURNING turn
"""
_ADD = """
    INSERT INTO policy_statistics AS known
           (application_id, name, key, version_id, count, loss, weighted_loss, turn)
    SELECT *, $8::bigint
      FROM unnest($1::int[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::float8[],
                  $7::float8[])
        ON CONFLICT (application_id, name, key, version_id) DO UPDATE
       SET count = known.count + excluded.count, loss = known.loss + excluded.loss,
           weighted_loss = known.weighted_loss + excluded.weighted_loss, turn = excluded.turn
"""
_REFS = """
    SELECT m.name || ':' || v.version AS ref, v.id
      FROM versions v JOIN models m ON m.id = v.model_id
     WHERE m.name || ':' || v.version = ANY($1::text[])
"""
_CHANGED = """
    WITH changed AS (
        SELECT application_id, name, key, max(turn) AS turn FROM policy_statistics
         WHERE turn > $1 GROUP BY 1, 2, 3 ORDER BY max(turn) DESC LIMIT $2
    )
    SELECT application_id, s.name, key, m.name || ':' || v.version AS ref, s.count, s.loss,
           s.weighted_loss, changed.turn
      FROM changed JOIN policy_statistics s USING (application_id, name, key)
      JOIN versions v ON v.id = s.version_id JOIN models m ON m.id = v.model_id
  ORDER BY changed.turn
"""


async def hold_cursor(connection: asyncpg.Connection) -> Position | None:
    """Lock the cursor for this transaction; None where another process learns just now."""
    row = await connection.fetchrow(_HOLD)
    return None if row is None else (row["xact_id"], row["shipment"])


async def newest(connection: asyncpg.Connection) -> Position | None:
    """The last shipment before which none can appear any more."""
    row = await connection.fetchrow(_NEWEST)
    return None if row is None else (row["xact_id"], row["id"])


async def grounds(connection: asyncpg.Connection, kinds: Sequence[str]) -> list[Ground]:
    """Every revision whose policy is of such a kind."""
    return [Ground(**row) for row in await connection.fetch(_GROUNDS, list(kinds))]


async def next_group(
    connection: asyncpg.Connection, after: Position, until: Position, *, rows: int
) -> Group | None:
    """Shipments in (after, until], as many as hold so many rows; at least one if there is any."""
    found = await connection.fetch(
        _SHIPMENTS, str(after[0]), after[1], str(until[0]), until[1]
    )  # fmt: skip
    taken: list[int] = []
    at = after
    for row in found:
        rows -= row["rows"]
        if taken and rows < 0:
            break
        taken.append(row["id"])
        at = (row["xact_id"], row["id"])
    return Group(taken, after, at) if taken else None


async def lessons(
    connection: asyncpg.Connection, group: Group, applications: Sequence[int]
) -> list[Lesson]:
    """Answers of some applications that were completed by a group."""
    found = await connection.fetch(
        _LESSONS, group.shipments, list(applications), str(group.after[0]), group.after[1],
        str(group.until[0]), group.until[1],
    )  # fmt: skip
    return [Lesson(**row) for row in found]


async def version_ids(connection: asyncpg.Connection, refs: Sequence[str]) -> dict[str, int]:
    """Ids of versions by `model:version`."""
    return {row["ref"]: row["id"] for row in await connection.fetch(_REFS, list(refs))}


async def add(
    connection: asyncpg.Connection,
    until: Position,
    sums: Mapping[tuple[StateKey, int], ArmStatistics],
) -> None:
    """Move the cursor and add what was learned on the way, in the caller's transaction.

    Parameters
    ----------
    sums
        By state and version id.
    """
    turn = await connection.fetchval(_MOVE, *until, int(bool(sums)))
    if not sums:
        return
    rows = [
        (*state, version, arm.count, arm.loss, arm.weighted_loss)
        for (state, version), arm in sums.items()
    ]
    await connection.execute(_ADD, *map(list, zip(*rows, strict=True)), turn)
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)


async def changed(
    connection: asyncpg.Connection, after_turn: int, *, limit: int
) -> tuple[int, dict[StateKey, dict[str, ArmStatistics]]]:
    """States that turns after one changed, whole, with the last of these turns.

    Parameters
    ----------
    limit
        States at most, those changed last.
    """
    found: dict[StateKey, dict[str, Any]] = defaultdict(dict)
    turn = after_turn
    for row in await connection.fetch(_CHANGED, after_turn, limit):
        state = (row["application_id"], row["name"], row["key"])
        found[state][row["ref"]] = ArmStatistics(row["count"], row["loss"], row["weighted_loss"])
        turn = max(turn, row["turn"])
    return turn, dict(found)
