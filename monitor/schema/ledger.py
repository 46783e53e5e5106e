"""What was granted to detectors that are no more."""

from datetime import datetime

from sqlalchemy import Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class ClosedLedgerRow(MonitorTable):
    """A watch's account at the moment at which its tests began anew or it was removed."""

    __tablename__ = "closed_ledger"

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int] = mapped_column(index=True)
    tier: Mapped[str]
    watch: Mapped[str]
    """Its name."""
    signal: Mapped[str]
    detector: Mapped[str]
    granted: Mapped[float]
    """Expected false alarms handed to its detectors, head starts among them."""
    head_starts: Mapped[float]
    """Of those, what detectors began with."""
    alarms: Mapped[int]
    started_at: Mapped[datetime | None]
    last_observed_at: Mapped[datetime | None]
    closed_at: Mapped[datetime] = mapped_column(server_default=func.now())
