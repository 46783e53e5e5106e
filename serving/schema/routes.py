"""Routes: which versions answer for an application, as numbered revisions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import ServingTable


class RevisionRow(ServingTable):
    """One state of a route. The highest revision is in force; none is ever edited."""

    __tablename__ = "revisions"
    __table_args__ = (CheckConstraint("kind IN ('change', 'rollback')", name="kind"),)

    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts from 1 within the application."""
    kind: Mapped[str]
    restores: Mapped[int | None]
    """The revision that a rollback returns to."""
    policy: Mapped[dict[str, Any]]
    input_schema_id: Mapped[int] = mapped_column(ForeignKey("input_schemas.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    decided_at: Mapped[datetime | None]
    """When the change was asked for; `created_at` is when all was ready for it."""
    created_by: Mapped[UUID | None]
    actor: Mapped[str]
    """Name of the key that made the change."""
    reason: Mapped[str | None]
    evidence: Mapped[dict[str, Any] | None]
    """What a remedy decided on, in the monitor's words."""
