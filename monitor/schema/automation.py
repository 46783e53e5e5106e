"""The switch of everything that the monitor does by itself."""

from datetime import datetime

from sqlalchemy import Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class AutomationSwitchRow(MonitorTable):
    """One turn of the switch. The newest row of an application counts, and the newest of all."""

    __tablename__ = "automation_switches"
    __table_args__ = (Index("ix_automation_switches_application_id_id", "application_id", "id"),)

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int | None]
    """None where the switch is that of all applications."""
    enabled: Mapped[bool]
    reason: Mapped[str | None]
    actor: Mapped[str]
    """Name of the key that turned it."""
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
