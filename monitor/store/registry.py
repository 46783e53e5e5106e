"""What serving knows by name: applications, versions, routes, references."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import any_, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import (
    Application,
    Feature,
    InputSchema,
    Registry,
    Revision,
    Route,
    Version,
)
from monitor.schema import WatchRow, WatchStateRow
from monitor.signals.losses import loss_of_values
from monitor.store.arrays import listed
from serving.schema import (
    ApplicationRow,
    InputSchemaRow,
    ModelRow,
    ReferenceRow,
    RevisionRow,
    VersionRow,
)


async def read_registry(connection: AsyncConnection) -> Registry:
    """Everything by name, deleted things too: the record still speaks of them."""
    applications = {
        row.id: Application(row.id, row.name, row.task, row.latency_objective_ms)
        for row in await connection.execute(
            select(
                ApplicationRow.id,
                ApplicationRow.name,
                ApplicationRow.task,
                ApplicationRow.latency_objective_ms,
            )
        )
    }
    versions = {
        row.id: Version(row.id, row.name, row.version, row.deleted_at is not None)
        for row in await connection.execute(
            select(VersionRow.id, ModelRow.name, VersionRow.version, VersionRow.deleted_at).join(
                ModelRow, ModelRow.id == VersionRow.model_id
            )
        )
    }
    routes: dict[int, list[Revision]] = defaultdict(list)
    for row in await connection.execute(
        select(
            RevisionRow.application_id,
            RevisionRow.revision,
            RevisionRow.kind,
            RevisionRow.restores,
            RevisionRow.policy,
            RevisionRow.input_schema_id,
        ).order_by(RevisionRow.application_id, RevisionRow.revision)
    ):
        routes[row.application_id].append(
            Revision(
                row.application_id,
                row.revision,
                row.kind,
                row.restores,
                row.policy,
                row.input_schema_id,
            )
        )
    schemas = {
        row.id: InputSchema(
            row.id, row.application_id, _features(row.features, row.schema), row.encoding
        )
        for row in await connection.execute(
            select(
                InputSchemaRow.id,
                InputSchemaRow.application_id,
                InputSchemaRow.schema,
                InputSchemaRow.features,
                InputSchemaRow.encoding,
            )
        )
    }
    return Registry(
        applications, versions, {a: Route(tuple(r)) for a, r in routes.items()}, schemas
    )


_TOKEN = text("""
    SELECT (SELECT (count(*), max(id), count(deleted_at), sum(latency_objective_ms))::text
              FROM applications) AS applications,
           (SELECT (count(*), max(id), count(deleted_at))::text FROM versions) AS versions,
           (SELECT count(*)::text FROM revisions) AS revisions,
           (SELECT max(id)::text FROM input_schemas) AS schemas,
           (SELECT (count(*), max(created_at))::text FROM version_references) AS references,
           (SELECT max(id)::text FROM application_budgets) AS budgets
""")


async def read_token(connection: AsyncConnection) -> tuple[str | None, ...]:
    """What differs when anything that `read_registry`, a reference or a budget gives has
    changed."""
    return tuple((await connection.execute(_TOKEN)).one())


def _features(names: Sequence[str], schema: Mapping[str, Any]) -> tuple[Feature, ...]:
    properties = schema.get("properties", {})
    required = schema.get("required", list(properties))
    return tuple(_feature(name, properties.get(name, {}), name not in required) for name in names)


def _feature(name: str, form: Mapping[str, Any], optional: bool) -> Feature:
    types = form.get("type", "number")
    kinds = [types] if isinstance(types, str) else list(types)
    kind = next((one for one in kinds if one != "null"), "number")
    measured = kind in ("number", "integer")
    low = form.get("minimum", form.get("exclusiveMinimum")) if measured else None
    high = form.get("maximum", form.get("exclusiveMaximum")) if measured else None
    return Feature(name, kind, optional or "null" in kinds, low, high)


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference rows of a version."""

    features: tuple[str, ...]
    inputs: list[list[Any]]
    labels: list[Any] | None
    outputs: list[Any] | None


async def read_reference(connection: AsyncConnection, version_id: int) -> Reference | None:
    """Reference rows of a version, in time order; none where none were uploaded."""
    return (await read_references(connection, [version_id])).get(version_id)


async def read_references(
    connection: AsyncConnection, versions: Collection[int]
) -> dict[int, Reference]:
    """Reference rows of those versions that have any."""
    found = await connection.execute(
        select(
            ReferenceRow.version_id,
            ReferenceRow.features,
            ReferenceRow.inputs,
            ReferenceRow.labels,
            ReferenceRow.outputs,
        ).where(ReferenceRow.version_id == any_(listed(versions)))
    )
    return {
        row.version_id: Reference(tuple(row.features), row.inputs, row.labels, row.outputs)
        for row in found
    }


async def read_reference_losses(
    connection: AsyncConnection, version_id: int, task: str
) -> list[float] | None:
    """Losses of a version on its reference rows, in time order; none without labels and outputs."""
    row = (
        await connection.execute(
            select(ReferenceRow.labels, ReferenceRow.outputs).where(
                ReferenceRow.version_id == version_id
            )
        )
    ).one_or_none()
    if row is None or row.labels is None or row.outputs is None:
        return None
    losses = loss_of_values(task, row.outputs, row.labels)
    return losses[~np.isnan(losses)].tolist() or None


async def read_remedy_revision(
    connection: AsyncConnection, application_id: int, remedy: str
) -> int | None:
    """Revision that a remedy made, known by its key in the evidence."""
    return (
        await connection.execute(
            select(RevisionRow.revision).where(
                RevisionRow.application_id == application_id,
                RevisionRow.evidence["remedy"].astext == remedy,
            )
        )
    ).scalar_one_or_none()


async def read_paired_labels(connection: AsyncConnection, application_id: int, subject: str) -> int:
    """Labels that the paired test of a challenger has seen."""
    return (
        await connection.execute(
            select(func.coalesce(func.max(WatchStateRow.observations), 0))
            .join(WatchRow, WatchRow.id == WatchStateRow.watch_id)
            .where(
                WatchRow.application_id == application_id,
                WatchRow.detector == "paired-promotion",
                WatchStateRow.subject == subject,
            )
        )
    ).scalar_one()
