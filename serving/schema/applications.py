"""Applications and the forms of their inputs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from serving.schema.base import ServingTable


class ApplicationRow(ServingTable):
    """What a client calls."""

    __tablename__ = "applications"
    __table_args__ = (
        CheckConstraint("task IN ('binary', 'multiclass', 'regression')", name="task"),
        CheckConstraint("durability IN ('before', 'journal', 'memory')", name="durability"),
        CheckConstraint("latency_objective_ms > 0", name="latency_objective"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task: Mapped[str]
    default_output: Mapped[Any | None] = mapped_column(JSONB)
    latency_objective_ms: Mapped[int]
    context_keys: Mapped[list[Any]] = mapped_column(JSONB, server_default="[]")
    durability: Mapped[str] = mapped_column(server_default="journal")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    """The record keeps its application for ever: deleting one hides it."""


class InputSchemaRow(ServingTable):
    """One form of an application's input; never edited, so that old records stay readable."""

    __tablename__ = "input_schemas"
    __table_args__ = (CheckConstraint("encoding IN ('float64', 'json')", name="encoding"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id"), index=True)
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)
    """JSON Schema of one input, its text kept: the order of its properties is an array's."""
    features: Mapped[list[Any]] = mapped_column(JSONB)
    """Names of the features in the block's order."""
    encoding: Mapped[str]
    """float64: eight bytes a feature, null as NaN; json: an array, where a feature is no number."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
