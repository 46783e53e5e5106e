"""What the monitor did or proposes, and how it turned out."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class RemedyRow(MonitorTable):
    """One decision to change a route. Decided with the alarm's transaction, carried out after
    it."""

    __tablename__ = "remedies"
    __table_args__ = (
        CheckConstraint(
            "state IN ('observed', 'proposed', 'approved', 'decided', 'acted', 'failed', "
            "'rejected', 'held')",
            name="state",
        ),
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int]
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id", ondelete="CASCADE"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id", ondelete="SET NULL"))
    kind: Mapped[str]
    """roll_back, promote, stop_canary."""
    mode: Mapped[str]
    state: Mapped[str]
    state_reason: Mapped[str | None]
    """Why it was held back, rejected or failed."""
    from_revision: Mapped[int]
    """Revision in force at the decision; the act is refused if it is no longer."""
    request: Mapped[dict[str, Any]]
    """The call to serving's admin API: method, path, body."""
    idempotency_key: Mapped[UUID]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    decided_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    acted_at: Mapped[datetime | None]
    to_revision: Mapped[int | None]
    outcome: Mapped[str | None]
    """recovered, not_recovered; none while it is being tested."""
    outcome_detail: Mapped[dict[str, Any] | None]
