"""API keys and the answers to changes that may be sent again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import ServingTable


class KeyRow(ServingTable):
    """An API key: shown once, kept as the sha256 of its 256 random bits."""

    __tablename__ = "keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[Any]] = mapped_column(JSONB)
    """Some of predict, feedback, read, admin; admin holds all others."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class IdempotencyRow(ServingTable):
    """The answer given to a change, given again when the same change is sent again."""

    __tablename__ = "idempotency"

    key_id: Mapped[UUID] = mapped_column(ForeignKey("keys.id"), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    """sha256 of method, path and body: the same key with another request is a mistake."""
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
