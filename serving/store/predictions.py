"""Table `predictions`: reading. Shipping writes it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Text, cast, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.copy_format import PredictionRecord
from serving.ids import time_of
from serving.records import Encoding, Task
from serving.schema import (
    ApplicationRow,
    InputSchemaRow,
    ModelRow,
    PredictionRow,
    RevisionRow,
    VersionRow,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# The time inside each id leads to its partition and there to its place in the primary key.
_TASKS = text("""
    SELECT DISTINCT p.id, a.task
      FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS asked (id, moment)
      JOIN predictions p
        ON p.id = asked.id
       AND p.predicted_at >= asked.moment
       AND p.predicted_at < asked.moment + interval '1 ms'
      JOIN applications a ON a.id = p.application_id
""")


def moment_of(prediction_id: bytes) -> datetime:
    """The millisecond inside an id; the prediction was made less than 1 ms later."""
    return _EPOCH + timedelta(microseconds=time_of(prediction_id))


async def tasks_of(
    connection: AsyncConnection, prediction_ids: Sequence[bytes]
) -> dict[bytes, Task]:
    """What the applications of some predictions predict; absent for those not here."""
    rows = await connection.execute(
        _TASKS,
        {
            "ids": [UUID(bytes=one) for one in prediction_ids],
            "moments": [moment_of(one) for one in prediction_ids],
        },
    )
    return {row.id.bytes: row.task for row in rows}


async def find(connection: AsyncConnection, prediction_id: bytes) -> list[PredictionRecord]:
    """Rows of one prediction: the answer, and those of its shadows."""
    table, moment = PredictionRow, moment_of(prediction_id)
    rows = await connection.execute(
        select(
            table.predicted_at,
            table.version_id,
            table.application_id,
            table.revision,
            table.flags,
            table.default_reason,
            table.latency_us,
            table.propensity,
            table.input,
            table.output,
            table.scores,
            cast(table.context, Text).label("context"),
        )
        .where(table.predicted_at >= moment, table.predicted_at < moment + _MILLISECOND)
        .where(table.id == UUID(bytes=prediction_id))
    )
    return [
        PredictionRecord(
            predicted_at_us=(row.predicted_at - _EPOCH) // timedelta(microseconds=1),
            id=prediction_id,
            version_id=row.version_id,
            application_id=row.application_id,
            revision=row.revision,
            flags=row.flags,
            default_reason=row.default_reason,
            latency_us=row.latency_us,
            propensity=row.propensity,
            input=row.input,
            output=row.output,
            scores=row.scores,
            context=None if row.context is None else row.context.encode(),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Names:
    """What the numbers of a record stand for."""

    application: str
    features: tuple[str, ...]
    """Names of the input's features, in the block's order."""
    encoding: Encoding
    versions: dict[int, tuple[str, str]]
    """Model and version by id."""


async def names_of(
    connection: AsyncConnection, application_id: int, revision: int, version_ids: Collection[int]
) -> Names | None:
    """Names behind a record; None where the revision is not known, which no record of ours has."""
    route = await connection.execute(
        select(ApplicationRow.name, InputSchemaRow.features, InputSchemaRow.encoding)
        .select_from(RevisionRow)
        .join(ApplicationRow, ApplicationRow.id == RevisionRow.application_id)
        .join(InputSchemaRow, InputSchemaRow.id == RevisionRow.input_schema_id)
        .where(RevisionRow.application_id == application_id, RevisionRow.revision == revision)
    )
    found = route.one_or_none()
    if found is None:
        return None
    versions = await connection.execute(
        select(VersionRow.id, ModelRow.name, VersionRow.version)
        .join(ModelRow, ModelRow.id == VersionRow.model_id)
        .where(VersionRow.id.in_(list(version_ids)))
    )
    return Names(
        application=found.name,
        features=tuple(found.features),
        encoding=found.encoding,
        versions={row.id: (row.name, row.version) for row in versions},
    )
