"""What all tables of serving have in common."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, LargeBinary, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of indexes and constraints, so that a migration can name what it changes."""


class ServingTable(DeclarativeBase):
    """Base of every table that serving writes."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        bytes: LargeBinary,
        UUID: Uuid,
        str: Text,
        int: Integer,
    }


Big = BigInteger
"""Eight bytes: counters that grow with every row or group."""

CURRENT_SHIPMENT = text("current_setting('leadsman.shipment')::bigint")
"""Number of the group being shipped, set for its transaction alone.

A record reaches the journal before it has one, and is copied as it stands there; a row that came
another way fails for want of it.
"""
