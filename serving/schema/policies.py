"""What policies learned from feedback, and how far the record was read for it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import Big, ServingTable


class PolicyStatisticsRow(ServingTable):
    """Sums of what feedback said of one arm; they only grow, and their order does not matter."""

    __tablename__ = "policy_statistics"
    __table_args__ = (Index("ix_policy_statistics_turn", "turn"),)

    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """What the policy calls its state: its kind, what tells requests apart, and among whom."""
    key: Mapped[str] = mapped_column(primary_key=True)
    """JSON text of the value of the context; empty for requests without one."""
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    count: Mapped[int] = mapped_column(Big)
    """Labelled answers."""
    loss: Mapped[float]
    """Sum of their losses, each in [0, 1]."""
    weighted_loss: Mapped[float]
    """Sum of loss / propensity."""
    turn: Mapped[int] = mapped_column(Big)
    """Turn of learning that last changed it."""


class PolicyCursorRow(ServingTable):
    """Place in the record up to which policies have learned; one row, locked by who learns."""

    __tablename__ = "policy_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    xact_id: Mapped[int] = mapped_column(Big)
    shipment: Mapped[int] = mapped_column(Big)
    turn: Mapped[int] = mapped_column(Big)
    """Counts the turns that learned something."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
