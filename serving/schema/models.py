"""Models, their versions, and the reference rows of a version."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import Big, ServingTable


class ModelRow(ServingTable):
    """What answers; its versions are the trained artefacts."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class VersionRow(ServingTable):
    """One immutable trained artefact, known by the digest of its bytes."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    version: Mapped[str]
    framework: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    """The manifest as it was sent: entry, python, requirements, uri."""
    digest: Mapped[str]
    """sha256 of the stored artefact, in hex."""
    size_bytes: Mapped[int] = mapped_column(Big)
    artefact: Mapped[str]
    """File name of the stored copy, relative to serving's artefact folder."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[UUID | None]
    """Key that registered it."""
    deleted_at: Mapped[datetime | None]


class ReferenceRow(ServingTable):
    """Training or validation rows of a version: what normal looks like."""

    __tablename__ = "version_references"

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    features: Mapped[list[Any]] = mapped_column(JSONB)
    """Names of the features in the order of the block."""
    inputs: Mapped[list[Any]] = mapped_column(JSONB)
    """Rows in time order, each a list of values in the order of `features`."""
    labels: Mapped[list[Any] | None] = mapped_column(JSONB)
    outputs: Mapped[list[Any] | None] = mapped_column(JSONB)
    """The version's answers to the rows: uploaded with them (out of sample), or made then."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
