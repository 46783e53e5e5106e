"""What happened to an application, and what it is asked and answers now beside the reference."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select

from monitor.api.context import Reader, Transaction, named
from monitor.api.problems import PROBLEMS
from monitor.store import alarms, remedies
from monitor.store.registry import read_reference
from monitor.views.distributions import compare_all, read_first_scores, read_hours, read_newest
from monitor.wall_clock import utc_now
from serving.schema import RevisionRow

router = APIRouter(prefix="/v1/applications/{application}", tags=["series"], responses=PROBLEMS)


class Mark(BaseModel):
    """Something that happened, on the axis of time."""

    at: datetime
    kind: str
    """revision, alarm or remedy."""
    title: str
    tier: str | None = None
    alert: int | None = None
    revision: int | None = None
    version: str | None = None


@router.get("/marks", summary="What happened, for the axis of time")
async def marks(connection: Transaction, _: Reader, application: str) -> list[Mark]:
    """Revisions of the route, alarms and remedies, oldest first."""
    found, registry = await named(connection, application)
    made = []
    for row in await connection.execute(
        select(
            RevisionRow.revision,
            RevisionRow.kind,
            RevisionRow.policy,
            RevisionRow.created_at,
            RevisionRow.actor,
        ).where(RevisionRow.application_id == found.id)
    ):
        champion = row.policy.get("champion")
        serves = champion or row.policy["kind"]
        title = f"revision {row.revision} ({row.kind}) by {row.actor}: {serves}"
        made.append(
            Mark(
                at=row.created_at,
                kind="revision",
                title=title,
                revision=row.revision,
                version=champion,
            )
        )
    for row in await alarms.read_marks(connection, found.id):
        about = registry.subject_name(row.subject)
        made.append(
            Mark(
                at=row.alarmed_at,
                kind="alarm",
                title=f"alarm of {row.signal} about {about}",
                tier=row.tier,
                alert=row.alert_id,
            )
        )
    for one in await remedies.read_remedies(connection, found.id):
        made.append(
            Mark(
                at=one.acted_at or one.decided_at,
                kind="remedy",
                title=f"remedy {one.id}: {one.kind} {one.state}",
                alert=one.alert_id,
            )
        )
    return sorted(made, key=lambda mark: mark.at)


class Comparisons(BaseModel):
    """A version's newest rows beside its reference."""

    version: str | None
    rows_now: int
    rows_then: int
    as_of: datetime
    features: list[dict[str, Any]]
    """Name, what it is of (feature, output or score), shares by bin or category now and then,
    distance; the furthest moved first. The score's reference is the version's first answers."""


@router.get("/distributions", summary="Features now beside the reference")
async def distributions(connection: Transaction, _: Reader, application: str) -> Comparisons:
    """Every feature and the output of the version in service, the furthest moved first.

    The distance describes; no error rate goes with it. The watches alarm by tests of their own.
    """
    found, registry = await named(connection, application)
    route = registry.routes.get(found.id)
    current = route.current if route else None
    version = registry.version_named(current.champion) if current and current.champion else None
    if current is None or version is None or current.schema_id is None:
        return Comparisons(version=None, rows_now=0, rows_then=0, as_of=utc_now(), features=[])
    schema = registry.schemas[current.schema_id]
    hours = await read_hours(connection, found.id, version.id)
    reference = await read_reference(connection, version.id)
    now: dict[str, list[Any]] = {" output": []}
    scores: list[Any] = []
    if hours:
        now = await read_newest(connection, found.id, version.id, schema, hours)
        scores = await read_first_scores(connection, found.id, version.id, hours)
    told = []
    for one in compare_all(now, reference, scores):
        kind = one.name.strip() if one.name.startswith(" ") else "feature"
        told.append(asdict(one) | {"name": one.name.strip(), "of": kind})
    return Comparisons(
        version=version.name,
        rows_now=len(now[" output"]),
        rows_then=len(reference.inputs) if reference else 0,
        as_of=utc_now(),
        features=told,
    )
