"""Webhooks, the outbox of deliveries, and every attempt."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class WebhookRow(MonitorTable):
    """Where alerts are sent."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("format IN ('generic', 'alertmanager', 'slack', 'email')", name="format"),
        CheckConstraint("envelope IN ('none', 'cloudevents')", name="envelope"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    url: Mapped[str]
    """http(s), or mailto: with an address."""
    format: Mapped[str] = mapped_column(server_default="generic")
    """What a delivery looks like there."""
    envelope: Mapped[str] = mapped_column(server_default="none")
    secret: Mapped[str]
    """Signs every delivery; shown once."""
    applications: Mapped[list[Any] | None] = mapped_column(JSONB)
    """Names it is limited to; none for all."""
    tiers: Mapped[list[Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class DeliveryRow(MonitorTable):
    """One event to send to one webhook; written with the event's own transaction."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
        Index("ix_deliveries_state_next_attempt_at", "state", "next_attempt_at"),
        # A delivery waits for those before it about the same alert.
        Index(
            "ix_deliveries_waiting",
            "webhook_id",
            "alert_id",
            "sequence",
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Stable over all attempts: the receiver's key against repetition."""
    sequence: Mapped[int] = mapped_column(Big, Identity(), unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    alert_id: Mapped[int | None] = mapped_column(
        ForeignKey("alerts.id", ondelete="CASCADE"), index=True
    )
    event: Mapped[str]
    """alert.firing, alert.acknowledged, alert.resolved, remedy.acted, remedy.proposed,
    webhook.test."""
    body: Mapped[dict[str, Any]]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    waiting_since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """Since when it is tried: its creation, or the last wish to send it again."""


class DeliveryAttemptRow(MonitorTable):
    """One attempt to send a delivery."""

    __tablename__ = "delivery_attempts"

    delivery_id: Mapped[UUID] = mapped_column(
        ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    status: Mapped[int | None]
    """HTTP status; none when no answer came."""
    error: Mapped[str | None]
    duration_ms: Mapped[float]
