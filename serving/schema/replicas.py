"""How many replicas a version has in each serving process, and what each may use."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import ServingTable


class ReplicasRow(ServingTable):
    """What was said of a version's replicas; a version without a row has one, unlimited."""

    __tablename__ = "version_replicas"
    __table_args__ = (
        CheckConstraint("count > 0", name="count"),
        CheckConstraint("cpu > 0", name="cpu"),
        CheckConstraint("memory_mb > 0", name="memory_mb"),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    count: Mapped[int]
    """Replicas in each serving process."""
    cpu: Mapped[float | None]
    """Processors of one replica."""
    memory_mb: Mapped[int | None]
    """Memory of one replica in MiB."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_by: Mapped[UUID | None]
    """Key that said it."""
