"""Table `feedback`: reading. Shipping writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.schema import FeedbackRow

CLOCKS_APART = timedelta(minutes=1)
"""How far the clocks of two serving processes may differ: a label may seem older than its
prediction."""


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """One report of a label that Postgres has."""

    prediction_id: bytes
    label: bytes
    """JSON text."""
    received_at: datetime
    observed_at: datetime | None


async def labels_of(
    connection: AsyncConnection, prediction_ids: Sequence[bytes], *, since: datetime
) -> list[StoredLabel]:
    """Every report for some predictions, in the order in which they came.

    Parameters
    ----------
    since
        When the earliest of the predictions was made: days before it are not searched.
    """
    rows = await connection.execute(
        select(
            FeedbackRow.prediction_id,
            FeedbackRow.label,
            FeedbackRow.received_at,
            FeedbackRow.observed_at,
        )
        .where(FeedbackRow.prediction_id.in_([UUID(bytes=one) for one in prediction_ids]))
        .where(FeedbackRow.received_at >= since - CLOCKS_APART)
        .order_by(FeedbackRow.received_at, FeedbackRow.id)
    )
    return [
        StoredLabel(row.prediction_id.bytes, row.label, row.received_at, row.observed_at)
        for row in rows
    ]
