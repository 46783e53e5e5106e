"""What the monitor did or proposes, and how it turned out."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
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
        # One change in flight for an application, whichever process decides.
        Index(
            "uq_remedies_in_flight",
            "application_id",
            unique=True,
            postgresql_where=text("state IN ('decided', 'approved')"),
        ),
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int]
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id", ondelete="CASCADE"))
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id", ondelete="SET NULL"))
    kind: Mapped[str]
    """roll_back, swap, change_share, promote, stop_canary, retrain, challenge."""
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
    rule: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    """All steps of the watch's rule, as they were at the decision."""
    step: Mapped[int] = mapped_column(server_default="0")
    """Which of them this is."""
    follows: Mapped[int | None] = mapped_column(Big)
    """The remedy that did not help, or that this one completes."""
    route_check: Mapped[dict[str, Any] | None]
    """Whether the route was changed everywhere, and how that is known."""
