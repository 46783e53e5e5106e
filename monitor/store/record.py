"""Reads the record in commit order.

A shipment's number is drawn when its transaction begins to write but shows at commit: a reader that
goes by number alone steps over one that commits late. So it goes by writing transaction, and only
below the oldest one that is still open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.feed import SKEW
from monitor.moments import from_micros
from monitor.records import Answer, Label, Position


@dataclass(frozen=True, slots=True)
class Shipment:
    """One group of records."""

    position: Position
    predictions: int
    predicted_from: datetime | None
    predicted_to: datetime | None
    feedback: int
    received_from: datetime | None
    received_to: datetime | None


_SHIPMENTS = text("""
    SELECT xact_id::text::bigint AS xact_id, id, predictions, predicted_from, predicted_to,
           feedback, received_from, received_to
      FROM shipments
     WHERE (xact_id, id) > (CAST(CAST(CAST(:xact_id AS bigint) AS text) AS xid8), CAST(:id AS
     bigint))
       AND xact_id < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY shipments.xact_id, shipments.id
     LIMIT :limit
""")

_ANSWER = """
    SELECT s.xact_id::text::bigint AS xact_id, p.shipment, p.predicted_at, p.id, p.version_id,
           p.application_id, p.revision, p.flags, p.output
      FROM predictions p JOIN shipments s ON s.id = p.shipment
"""
_ANSWERS_SHIPPED = text(
    _ANSWER
    + """
     WHERE p.predicted_at BETWEEN :low AND :high AND p.shipment = ANY(CAST(:shipments AS bigint[]))
"""
)
# The millisecond in an id is that of `predicted_at`, so an id alone leads to its partition and key.
_ANSWERS_NAMED = text(
    _ANSWER
    + """
      JOIN unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS f (id, moment)
        ON p.predicted_at >= f.moment AND p.predicted_at < f.moment + interval '1 millisecond' AND
        p.id = f.id
     WHERE p.predicted_at BETWEEN :low AND :high
"""
)

_LABEL = """
    SELECT s.xact_id::text::bigint AS xact_id, f.shipment, f.received_at, f.id, f.prediction_id,
    f.label
      FROM feedback f JOIN shipments s ON s.id = f.shipment
"""
_LABELS_SHIPPED = text(
    _LABEL
    + """
     WHERE f.received_at BETWEEN :low AND :high AND f.shipment = ANY(CAST(:shipments AS bigint[]))
"""
)
_LABELS_NAMED = text(
    _LABEL
    + """
     WHERE f.prediction_id = ANY(CAST(:ids AS uuid[])) AND f.received_at >= :low
"""
)


async def read_shipments(
    connection: AsyncConnection, after: Position, *, rows: int
) -> Sequence[Shipment]:
    """Shipments after a position, in commit order.

    Parameters
    ----------
    rows
        Predictions and labels that they hold together at most; a first shipment is taken whatever
        its size.
    """
    found = await connection.execute(
        _SHIPMENTS, {"xact_id": after.xact_id, "id": after.shipment, "limit": 1000}
    )
    taken: list[Shipment] = []
    for row in found:
        rows -= row.predictions + row.feedback
        if taken and rows < 0:
            break
        taken.append(
            Shipment(
                Position(row.xact_id, row.id),
                row.predictions,
                row.predicted_from,
                row.predicted_to,
                row.feedback,
                row.received_from,
                row.received_to,
            )
        )
    return taken


async def read_rows(
    connection: AsyncConnection, shipments: Sequence[Shipment]
) -> tuple[list[Answer], list[Label]]:
    """All rows of every prediction that has a row in these shipments, whenever they came."""
    answers = {(a.id, a.version_id): a for a in await _answers_shipped(connection, shipments)}
    labels = {label.id: label for label in await _labels_shipped(connection, shipments)}
    touched = {label.prediction_id for label in labels.values()}
    for answer in await _answers_named(connection, touched):
        answers[answer.id, answer.version_id] = answer
    for label in await _labels_named(connection, answers.values()):
        labels[label.id] = label
    # A late shadow whose label was known before meets here the answer that it belongs to.
    for answer in await _answers_named(
        connection, {label.prediction_id for label in labels.values()} - touched
    ):
        answers[answer.id, answer.version_id] = answer
    return list(answers.values()), list(labels.values())


async def _answers_shipped(
    connection: AsyncConnection, shipments: Sequence[Shipment]
) -> list[Answer]:
    with_rows = [
        s for s in shipments if s.predicted_from is not None and s.predicted_to is not None
    ]
    if not with_rows:
        return []
    found = await connection.execute(
        _ANSWERS_SHIPPED,
        {
            "low": min(s.predicted_from for s in with_rows if s.predicted_from),
            "high": max(s.predicted_to for s in with_rows if s.predicted_to),
            "shipments": [s.position.shipment for s in with_rows],
        },
    )
    return [_answer(row) for row in found]


async def _answers_named(connection: AsyncConnection, ids: Iterable[UUID]) -> list[Answer]:
    names = sorted(ids)
    if not names:
        return []
    moments = [from_micros((i.int >> 80) * 1000) for i in names]
    found = await connection.execute(
        _ANSWERS_NAMED,
        {
            "ids": names,
            "moments": moments,
            "low": moments[0],
            "high": from_micros((names[-1].int >> 80) * 1000 + 999),
        },
    )
    return [_answer(row) for row in found]


async def _labels_shipped(
    connection: AsyncConnection, shipments: Sequence[Shipment]
) -> list[Label]:
    with_rows = [s for s in shipments if s.received_from is not None and s.received_to is not None]
    if not with_rows:
        return []
    found = await connection.execute(
        _LABELS_SHIPPED,
        {
            "low": min(s.received_from for s in with_rows if s.received_from),
            "high": max(s.received_to for s in with_rows if s.received_to),
            "shipments": [s.position.shipment for s in with_rows],
        },
    )
    return [_label(row) for row in found]


async def _labels_named(connection: AsyncConnection, answers: Iterable[Answer]) -> list[Label]:
    moments = {answer.id: answer.predicted_at for answer in answers}
    if not moments:
        return []
    found = await connection.execute(
        _LABELS_NAMED, {"ids": list(moments), "low": min(moments.values()) - SKEW}
    )
    return [_label(row) for row in found]


def _answer(row: Row[Any]) -> Answer:
    return Answer(
        Position(row.xact_id, row.shipment),
        row.predicted_at,
        row.id,
        row.version_id,
        row.application_id,
        row.revision,
        row.flags,
        row.output,
    )


def _label(row: Row[Any]) -> Label:
    return Label(
        Position(row.xact_id, row.shipment), row.received_at, row.id, row.prediction_id, row.label
    )
