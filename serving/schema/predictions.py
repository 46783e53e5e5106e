"""Every answered request. Partitioned by day of `predicted_at`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import REAL, Index, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import CURRENT_SHIPMENT, Big, ServingTable


class PredictionRow(ServingTable):
    """One answer of one version.

    An answer and the answers of its shadows share `id` and `predicted_at`; the shadows' rows carry
    the flag `shadow`. The columns stand in the order of the binary COPY that
    writes them, which leaves out `shipment`.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_predicted_at", "predicted_at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (predicted_at)"},
    )

    predicted_at: Mapped[datetime] = mapped_column(primary_key=True)
    """Arrival of the request; its millisecond is the one inside the id."""
    id: Mapped[UUID] = mapped_column(primary_key=True)
    """UUID of version 7, RFC 9562."""
    version_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """0 where no version answered: a default output before any replica was asked."""
    application_id: Mapped[int]
    revision: Mapped[int]
    flags: Mapped[int] = mapped_column(SmallInteger)
    """Bits: 1 default, 2 cached, 4 shadow, 8 pinned, 16 combined (`serving.active_route`)."""
    default_reason: Mapped[int | None] = mapped_column(SmallInteger)
    latency_us: Mapped[int]
    """From arrival until the answer was ready, in microseconds."""
    propensity: Mapped[float] = mapped_column(REAL)
    """Probability with which the policy chose this version, in (0, 1]."""
    input: Mapped[bytes]
    """Little-endian float64 in the schema's order, or a JSON array if a feature is no number."""
    output: Mapped[bytes | None]
    """JSON text of the output, UTF-8."""
    scores: Mapped[bytes | None]
    """Little-endian float64: class probabilities in the version's order of classes."""
    context: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    shipment: Mapped[int] = mapped_column(Big, server_default=CURRENT_SHIPMENT)
