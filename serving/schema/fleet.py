"""Serving processes that live now, and what they agree on before a route changes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import ServingTable


class ProcessRow(ServingTable):
    """One serving process. It lives while its heartbeat is fresh and its connection is open."""

    __tablename__ = "serving_processes"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Drawn at each start."""
    name: Mapped[str] = mapped_column(unique=True)
    """Machine and data folder: a process that is started again takes its own place."""
    pid: Mapped[int]
    backend_pid: Mapped[int]
    """Postgres' end of the connection that listens: it goes at once when the process does."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ServedRevisionRow(ServingTable):
    """Which revision a process answers by: written once it has switched, gone with the process."""

    __tablename__ = "served_revisions"

    process_id: Mapped[UUID] = mapped_column(
        ForeignKey("serving_processes.id", ondelete="CASCADE"), primary_key=True
    )
    application_id: Mapped[int] = mapped_column(primary_key=True)
    """Not a foreign key: its lock would wait for whoever is changing the application."""
    revision: Mapped[int]
    switched_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AnnouncementRow(ServingTable):
    """A route change that waits for all processes to be ready for it; gone once it is decided."""

    __tablename__ = "route_announcements"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id"))
    policy: Mapped[dict[str, Any]]
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)
    """JSON Schema of one input, its text kept: the order of its properties is an array's."""
    probe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """A row that the versions must answer, by feature name; their reference rows where absent."""
    announced_by: Mapped[UUID]
    announced_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    """Nobody keeps versions for it any longer than this."""


class AnnouncementAnswerRow(ServingTable):
    """What one process says to an announcement."""

    __tablename__ = "route_announcement_answers"

    announcement_id: Mapped[UUID] = mapped_column(
        ForeignKey("route_announcements.id", ondelete="CASCADE"), primary_key=True
    )
    process_id: Mapped[UUID] = mapped_column(primary_key=True)
    answer: Mapped[dict[str, Any]]
    """Empty where all versions answer there; else code, ref, reason and last_words."""
    answered_at: Mapped[datetime] = mapped_column(server_default=func.now())
