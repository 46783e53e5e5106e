"""What the tests concluded: alarms, and the series behind a plot."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class AlarmRow(MonitorTable):
    """A test rejected its null."""

    __tablename__ = "alarms"
    __table_args__ = (Index("ix_alarms_application_id_alarmed_at", "application_id", "alarmed_at"),)

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    watch_id: Mapped[int | None] = mapped_column(ForeignKey("watches.id", ondelete="SET NULL"))
    """None once the watch was removed: what it said is kept for good."""
    application_id: Mapped[int]
    subject: Mapped[str]
    tier: Mapped[str]
    alarmed_at: Mapped[datetime]
    """Time in the record at which the deciding observation was received."""
    observation: Mapped[int] = mapped_column(Big)
    """Count of the watch's observations up to the deciding one."""
    prediction_id: Mapped[UUID]
    """Prediction of the deciding observation."""
    onset_prediction_id: Mapped[UUID | None]
    onset_at: Mapped[datetime | None]
    """Estimated change point; no coverage promised."""
    statistic: Mapped[float]
    threshold: Mapped[float]
    repeats: Mapped[int] = mapped_column(server_default="0")
    """How often its watch said it again while its fault lasted."""
    repeated_at: Mapped[datetime | None]
    """Time in the record of the last of these."""
    evidence: Mapped[dict[str, Any]]


class SignalPointRow(MonitorTable):
    """A signal over a stretch of time: sums, from which means and intervals are made."""

    __tablename__ = "signal_points"

    application_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    signal: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    """Start of the stretch."""
    n: Mapped[int]
    total: Mapped[float]
    squares: Mapped[float]


class SignalSummaryRow(MonitorTable):
    """The same over a minute and over an hour; those of hours are kept for good."""

    __tablename__ = "signal_summaries"

    application_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    signal: Mapped[str] = mapped_column(primary_key=True)
    step_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Length of the stretch: 60 or 3600 seconds."""
    subject: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    """Start of the stretch."""
    n: Mapped[int] = mapped_column(Big)
    total: Mapped[float]
    squares: Mapped[float]
