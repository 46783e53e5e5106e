"""Watches and the state of their detectors."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class WatchRow(MonitorTable):
    """Signal × detector × false-alarm budget × what to do."""

    __tablename__ = "watches"
    __table_args__ = (
        UniqueConstraint("application_id", "name"),
        CheckConstraint("tier IN ('rollback', 'page', 'info')", name="tier"),
        CheckConstraint("mode IN ('observe', 'propose', 'act')", name="mode"),
        # Asked for whenever nothing comes; there are thousands of watches and few of these.
        Index(
            "ix_watches_maturing",
            "application_id",
            postgresql_where=text("enabled AND settings ? 'mature_after'"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    application_id: Mapped[int]
    name: Mapped[str]
    signal: Mapped[str]
    """loss, loss_difference, output, score, feature.NAME, quality.NAME, service.NAME."""
    detector: Mapped[str]
    """Name in drift.catalog."""
    tier: Mapped[str]
    settings: Mapped[dict[str, Any]]
    """Settings of reference and unit, in the words of docs/settings."""
    remedy: Mapped[str]
    """First step of the rule: notify, roll_back, swap, change_share, promote, stop_canary,
    retrain."""
    rule: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Its steps with their settings, in order; none where the remedy alone is the rule."""
    mode: Mapped[str]
    origin: Mapped[str]
    """default or operator."""
    enabled: Mapped[bool] = mapped_column(server_default="true")
    clock_at: Mapped[datetime | None]
    """Time in the record up to which the watch's budget has been granted."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    failed_at: Mapped[datetime | None]
    """Moment of the record from which on it does not watch: its evaluation raised there."""
    failure: Mapped[str | None]
    """What it raised."""


class WatchStateRow(MonitorTable):
    """One detector of a watch: its state for one version or pair of versions."""

    __tablename__ = "watch_states"
    __table_args__ = (
        CheckConstraint("status IN ('learning', 'armed', 'refused', 'retired')", name="status"),
    )

    watch_id: Mapped[int] = mapped_column(
        ForeignKey("watches.id", ondelete="CASCADE"), primary_key=True
    )
    subject: Mapped[str] = mapped_column(primary_key=True)
    """What is watched: version ids joined by a comma, e.g. "3" or "4,3" (new, old)."""
    status: Mapped[str]
    status_reason: Mapped[str | None]
    """Why it does not arm, or what it still waits for."""
    parameters: Mapped[dict[str, Any]]
    """Settings of the detector as resolved from the reference: limit, block, n, design effect."""
    state: Mapped[bytes]
    """Checkpoint of detector, unit and partial block."""
    observations: Mapped[int] = mapped_column(Big, server_default="0")
    granted: Mapped[float]
    """Expected false alarms allowed so far."""
    alarms: Mapped[int] = mapped_column(server_default="0")
    statistic: Mapped[float]
    last_observed_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    summary: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    """Running counts that evidence is told from: before and after, sums, sample sizes."""
    room: Mapped[int] = mapped_column(server_default="0")
    """Rows that may still be put aside: none of them completes a step of a test."""
    aside: Mapped[bytes] = mapped_column(server_default="")
    """Rows that came since the state was written, which is read and written with a step only."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
