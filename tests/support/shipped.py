"""Writes a record into Postgres as serving's shipping does, one transaction for one shipment."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from asyncpg import Connection

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
"""First moment of a made record."""
DEFAULT, SHADOW = 1, 4


def prediction_id(at: datetime, rng: random.Random) -> UUID:
    """UUID of version 7 whose millisecond is that of `at`."""
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    number = (
        milliseconds << 80
        | 0x7 << 76
        | rng.getrandbits(12) << 64
        | 0b10 << 62
        | rng.getrandbits(62)
    )
    return UUID(int=number)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of predictions."""

    id: UUID
    at: datetime
    version_id: int
    output: object = 0
    flags: int = 0
    revision: int = 1
    application_id: int = 1
    input: bytes = b""
    context: dict[str, Any] | None = None
    scores: bytes | None = None
    latency_us: int = 100
    default_reason: int | None = None
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Feedback:
    """One row of feedback."""

    prediction_id: UUID
    at: datetime
    label: object = 0
    id: UUID = field(default_factory=uuid4)


async def set_up_application(
    connection: Connection,
    *,
    name: str = "market",
    task: str = "binary",
    versions: Sequence[str] = ("1", "2"),
    policies: Sequence[dict[str, Any]] = (),
) -> None:
    """An application with number 1, versions 1, 2, ... of the model `price`, and its revisions."""
    await connection.execute(
        "INSERT INTO applications (id, name, task, latency_objective_ms) VALUES (1, $1, $2, 100)",
        name,
        task,
    )
    await connection.execute(
        "INSERT INTO input_schemas (id, application_id, schema, features, encoding)"
        " VALUES (1, 1, '{}', '[]', 'float64')"
    )
    await connection.execute("INSERT INTO models (id, name) VALUES (1, 'price')")
    for number, version in enumerate(versions, 1):
        await connection.execute(
            "INSERT INTO versions (id, model_id, version, framework, manifest, digest, "
            "size_bytes, artefact)"
            " VALUES ($1, 1, $2, 'python', '{}', $2, 1, $2)",
            number,
            version,
        )
    for policy in policies or ({"kind": "single", "champion": "price:1"},):
        await add_revision(connection, policy)
    await connection.execute("INSERT INTO journals (id) VALUES ($1)", JOURNAL)


JOURNAL = UUID(int=1)


async def add_revision(
    connection: Connection,
    policy: dict[str, Any],
    *,
    kind: str = "change",
    restores: int | None = None,
    evidence: dict[str, Any] | None = None,
) -> int:
    """One more state of the route of application 1."""
    number: int = await connection.fetchval(
        "INSERT INTO revisions (application_id, revision, kind, restores, policy, "
        "input_schema_id, actor, evidence)"
        " SELECT 1, coalesce(max(revision), 0) + 1, $1, $2, $3, 1, 'test', $4 FROM revisions"
        " WHERE application_id = 1 RETURNING revision",
        kind,
        restores,
        json.dumps(policy),
        None if evidence is None else json.dumps(evidence),
    )
    return number


async def add_reference(
    connection: Connection, version_id: int, outputs: Sequence[object], labels: Sequence[object]
) -> None:
    """Reference rows of a version."""
    await connection.execute(
        "INSERT INTO version_references (version_id, features, inputs, labels, outputs)"
        " VALUES ($1, '[]', '[]', $2, $3)",
        version_id,
        json.dumps(list(labels)),
        json.dumps(list(outputs)),
    )


async def ship(
    connection: Connection,
    predictions: Iterable[Prediction] = (),
    feedback: Iterable[Feedback] = (),
) -> int:
    """Write one shipment; inside the caller's transaction if there is one."""
    predictions, feedback = list(predictions), list(feedback)
    async with connection.transaction():
        number: int = await connection.fetchval(
            "INSERT INTO shipments (journal_id, predictions, predicted_from, predicted_to, "
            "feedback,"
            " received_from, received_to) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
            JOURNAL,
            len(predictions),
            min((p.at for p in predictions), default=None),
            max((p.at for p in predictions), default=None),
            len(feedback),
            min((f.at for f in feedback), default=None),
            max((f.at for f in feedback), default=None),
        )
        await connection.execute(f"SET LOCAL leadsman.shipment = '{number}'")
        await connection.copy_records_to_table(
            "predictions",
            columns=[
                "predicted_at",
                "id",
                "version_id",
                "application_id",
                "revision",
                "flags",
                "latency_us",
                "propensity",
                "input",
                "output",
                "context",
                "scores",
                "default_reason",
            ],
            records=[
                (
                    p.at,
                    p.id,
                    p.version_id,
                    p.application_id,
                    p.revision,
                    p.flags,
                    p.latency_us,
                    p.propensity,
                    p.input,
                    json.dumps(p.output).encode(),
                    None if p.context is None else json.dumps(p.context),
                    p.scores,
                    p.default_reason,
                )
                for p in predictions
            ],
        )
        await connection.copy_records_to_table(
            "feedback",
            columns=["received_at", "id", "prediction_id", "label"],
            records=[(f.at, f.id, f.prediction_id, json.dumps(f.label).encode()) for f in feedback],
        )
        await connection.execute("NOTIFY leadsman_shipments")
    return number
