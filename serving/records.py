"""Values that travel inside serving."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

Task = Literal["binary", "multiclass", "regression"]
"""What an application predicts."""
Durability = Literal["before", "journal", "memory"]
"""When an answer may leave: after Postgres has it, after the local journal has it, at once."""
Encoding = Literal["float64", "json"]
"""Form of a row block: eight bytes a feature, or a JSON array where a feature is no number."""
Scope = Literal["predict", "feedback", "read", "admin"]
"""What a key may do; admin holds all others."""
RevisionKind = Literal["change", "rollback"]


@dataclass(frozen=True, slots=True)
class InputSchema:
    """One form of an application's input; never edited."""

    id: int
    schema: dict[str, Any]
    """JSON Schema of one input; the order of its properties is the order of an array."""
    features: tuple[str, ...]
    """Names of the features in the block's order."""
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Application:
    """What a client calls."""

    id: int
    name: str
    task: Task
    input_schema: InputSchema | None
    """The form in force; none until one is stated or inferred from a version's reference rows."""
    default_output: Any
    """Answered where no version answers by the deadline; None is JSON null."""
    latency_objective: timedelta
    """Deadline of an answer, from arrival."""
    context_keys: tuple[str, ...]
    """Keys of a request's context that are kept."""
    durability: Durability
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable trained artefact of a model."""

    id: int
    model: str
    version: str
    framework: str
    manifest: dict[str, Any]
    """As it was sent: entry, python, requirements, uri."""
    digest: str
    """sha256 of the artefact as it was sent, in hex."""
    size_bytes: int
    artefact: Path
    """The stored copy: a file, or a folder that was sent as .tar.gz."""
    created_at: datetime

    @property
    def ref(self) -> str:
        """As routes write it: `model:version`."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What a version is to have in each serving process."""

    count: int = 1
    """Replicas."""
    cpu: float | None = None
    """Processors of one replica; none for no limit."""
    memory_mb: int | None = None
    """Memory of one replica in MiB; none for no limit."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Training or validation rows of a version, in time order."""

    version_id: int
    features: tuple[str, ...]
    inputs: list[list[Any]]
    """Rows, each in the order of `features`."""
    labels: list[Any] | None
    outputs: list[Any] | None
    """The version's answers to the rows."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """One numbered state of a route; never edited."""

    application_id: int
    application: str
    revision: int
    kind: RevisionKind
    restores: int | None
    """The revision that a rollback returned to."""
    policy: dict[str, Any]
    input_schema_id: int
    created_at: datetime
    actor: str
    reason: str | None
    evidence: dict[str, Any] | None
    decided_at: datetime | None = None
    """When it was asked for."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret."""

    id: UUID
    name: str
    hash: bytes
    """sha256 of the key as it travels."""
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None

    def may(self, scope: Scope) -> bool:
        """Whether the key holds the scope, itself or by admin."""
        return scope in self.scopes or "admin" in self.scopes
