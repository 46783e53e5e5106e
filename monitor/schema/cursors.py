"""How far the record has been read."""

from datetime import datetime

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
