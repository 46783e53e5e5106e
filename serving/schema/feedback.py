"""Every label that a client reported. Partitioned by day of `received_at`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import CURRENT_SHIPMENT, Big, ServingTable


class FeedbackRow(ServingTable):
    """One report of a label; a correction is one more row, never an edit.

    The columns stand in the order of the binary COPY that writes them, which leaves out `shipment`.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_prediction_id", "prediction_id"),
        {"postgresql_partition_by": "RANGE (received_at)"},
    )

    received_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    prediction_id: Mapped[UUID]
    """May name a prediction that is not here yet: its group may come later."""
    label: Mapped[bytes]
    """JSON text of the label, UTF-8."""
    observed_at: Mapped[datetime | None]
    """When the true value came to be known, as the client says."""
    shipment: Mapped[int] = mapped_column(Big, server_default=CURRENT_SHIPMENT)
