"""What serving knows by name: applications, versions, routes, references."""

from collections import defaultdict

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import Application, Registry, Revision, Route, Version
from monitor.signals.losses import loss_of_values
from monitor.schema import WatchRow, WatchStateRow
from serving.schema import ApplicationRow, ModelRow, ReferenceRow, RevisionRow, VersionRow


async def read_registry(connection: AsyncConnection) -> Registry:
    """Everything by name, deleted things too: the record still speaks of them."""
    applications = {
        row.id: Application(row.id, row.name, row.task)
        for row in await connection.execute(
            select(ApplicationRow.id, ApplicationRow.name, ApplicationRow.task)
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
        ).order_by(RevisionRow.application_id, RevisionRow.revision)
    ):
        routes[row.application_id].append(
            Revision(row.application_id, row.revision, row.kind, row.restores, row.policy)
        )
    return Registry(applications, versions, {a: Route(tuple(r)) for a, r in routes.items()})


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
