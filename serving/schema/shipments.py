"""Groups of records that reached Postgres, in the order in which they were committed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from serving.schema.base import Big, ServingTable


class Xid8(UserDefinedType[str]):
    """Postgres' 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name of the type in DDL."""
        return "xid8"


class JournalRow(ServingTable):
    """How far each local journal has been shipped; moved in the transaction that ships."""

    __tablename__ = "journals"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    shipped_entry: Mapped[int] = mapped_column(Big, server_default="0")
    """Last entry of the journal that is in Postgres."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ShipmentRow(ServingTable):
    """One transaction that brought records: the index in commit order of the hot tables.

    A reader goes by (xact_id, id) and reads below the oldest open transaction, so that a group
    that commits late is never stepped over. The spans let it find the rows by the hot tables'
    primary keys; the rows themselves carry only the shipment's number.
    """

    __tablename__ = "shipments"
    __table_args__ = (Index("ix_shipments_xact_id_id", "xact_id", "id"),)

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    xact_id: Mapped[str] = mapped_column(Xid8(), server_default=text("pg_current_xact_id()"))
    journal_id: Mapped[UUID] = mapped_column(ForeignKey("journals.id"))
    shipped_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    predictions: Mapped[int]
    predicted_from: Mapped[datetime | None]
    predicted_to: Mapped[datetime | None]
    """Earliest and latest `predicted_at` of the group's predictions; none without any."""
    feedback: Mapped[int]
    received_from: Mapped[datetime | None]
    received_to: Mapped[datetime | None]
    """Earliest and latest `received_at` of the group's feedback; none without any."""
