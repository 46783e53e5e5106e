"""What applications allow each tier, where it is not the monitor's own setting."""

from datetime import datetime

from sqlalchemy import Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from monitor.schema.base import Big, MonitorTable


class ApplicationBudgetRow(MonitorTable):
    """One change of a budget. The newest row of an application and tier counts."""

    __tablename__ = "application_budgets"

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    application_id: Mapped[int] = mapped_column(index=True)
    tier: Mapped[str]
    per_year: Mapped[float | None]
    """False alarms a year; none where the monitor's own setting counts again."""
    actor: Mapped[str]
    """Name of the key that changed it."""
    set_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
