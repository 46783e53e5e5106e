"""How far the record has been read, and labels that wait for their prediction."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class CursorRow(MonitorTable):
    """Place in the record, moved in the transaction that saves what was concluded from it."""

    __tablename__ = "monitor_cursors"

    shard: Mapped[str] = mapped_column(primary_key=True)
    xact_id: Mapped[int] = mapped_column(Big)
    shipment_id: Mapped[int] = mapped_column(Big)
    """Last shipment read, in the order (xact_id, shipment_id)."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UnmatchedFeedbackRow(MonitorTable):
    """A label that was read before its prediction."""

    __tablename__ = "monitor_unmatched_feedback"

    prediction_id: Mapped[UUID] = mapped_column(primary_key=True)
    received_at: Mapped[datetime]
    label: Mapped[bytes]
