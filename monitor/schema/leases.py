"""Which monitor reads which part of the record."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class LeaseRow(MonitorTable):
    """One shard and who may read it. The rows of this table are the shards that there are."""

    __tablename__ = "monitor_leases"

    shard: Mapped[str] = mapped_column(primary_key=True)
    """As in monitor_cursors: `all`, or `2/4` for the second of four."""
    token: Mapped[int] = mapped_column(Big, server_default="0")
    """Raised by each taking; a turn with an older one is refused at its end."""
    holder: Mapped[UUID | None]
    """Process that holds it; none where it was given back."""
    expires_at: Mapped[datetime | None]
    """By Postgres' clock; after it anybody may take it."""


class ProcessRow(MonitorTable):
    """A monitor that says that it lives."""

    __tablename__ = "monitor_processes"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    """Host and process number, for people."""
    backend_pid: Mapped[int]
    backend_started_at: Mapped[datetime]
    """The session over which it beats: when Postgres has it no more, the process is gone."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())
