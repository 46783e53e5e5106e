"""Alerts: what people are told, and everything that happened to it."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class AlertRow(MonitorTable):
    """One cause, told once: the alarms of one application, subject and kind."""

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'firing', 'acknowledged', 'resolved')", name="state"),
        # Two alarms of one cause are one alert, also when two processes see them at once.
        Index(
            "uq_alerts_open",
            "application_id",
            "subject",
            "kind",
            unique=True,
            postgresql_where=text("state <> 'resolved'"),
        ),
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int]
    subject: Mapped[str]
    kind: Mapped[str]
    """What went wrong, e.g. loss, loss_difference, challenger_better."""
    tier: Mapped[str]
    state: Mapped[str]
    title: Mapped[str]
    detail: Mapped[dict[str, Any]]
    """The alert in the order in which a person needs it: what, since when, how sure, how bad,
    where, done."""
    opened_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]
    inhibited_by: Mapped[int | None] = mapped_column(Big)
    """The worse open alert that explains this one; nobody is told of it meanwhile."""
    told_at: Mapped[datetime | None]
    """When people were last told that it stands; none while something about it is held back."""
    recovery: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The test of whether its cause is gone, and where it stands."""


class AlertEventRow(MonitorTable):
    """One line of an alert's history."""

    __tablename__ = "alert_events"

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    event: Mapped[str]
    """opened, alarmed, acknowledged, resolved, remedied, declined, escalated, inhibited,
    released, held_back (a delivery, by a silence), standing (a remedy of another alert, when this
    one opened)."""
    actor: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class SilenceRow(MonitorTable):
    """Deliveries held back for an application until an end, by somebody, for a reason."""

    __tablename__ = "silences"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    application_id: Mapped[int]
    kind: Mapped[str | None]
    until: Mapped[datetime]
    author: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
