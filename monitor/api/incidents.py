"""Incidents: the record of an alert from onset to recovery."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from monitor.alerts.incident import spans, timeline
from monitor.alerts.incident_text import markdown
from monitor.api.context import Reader, Transaction, read_registry
from monitor.api.forms import RemedyAnswer
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.errors import NotFoundError
from monitor.settings import Tier
from monitor.store.incidents import read_alert_row, read_traces

router = APIRouter(
    prefix="/v1/incidents", tags=["incidents"], responses=PROBLEMS, route_class=Changes
)


class IncidentLine(BaseModel):
    """One thing that happened."""

    at: datetime
    who: str
    what: Literal["onset", "alarm", "alert", "remedy", "route", "automation", "delivery"]
    sentence: str
    detail: dict[str, Any]


class IncidentSpans(BaseModel):
    """How long it took, in seconds; none for what has not happened or is not known."""

    onset_to_alert: float | None
    alert_to_act: float | None
    alert_to_recovery: float | None


class IncidentAnswer(BaseModel):
    """An incident; it has the number of its alert."""

    id: int
    application: str
    title: str
    state: str
    tier: Tier
    kind: str
    versions: str
    onset_at: datetime | None
    opened_at: datetime
    resolved_at: datetime | None
    seconds: IncidentSpans
    alert: dict[str, Any]
    timeline: list[IncidentLine]
    remedies: list[RemedyAnswer]
    """Also those that other alerts of the same version set off, as far as they stood meanwhile."""


@router.get(
    "/{incident_id}",
    summary="Show an incident",
    response_model=IncidentAnswer,
    responses={
        200: {
            "content": {"text/markdown": {"schema": {"type": "string"}}},
            "description": "As JSON, or as Markdown where that is asked for.",
        }
    },
)
async def show_incident(
    connection: Transaction,
    _: Reader,
    request: Request,
    incident_id: int,
    form: Annotated[
        Literal["json", "markdown"] | None,
        Query(alias="format", description="Outranks the header Accept."),
    ] = None,
) -> IncidentAnswer | Response:
    """One timeline of an alert: onset, alarms, remedies, routes, people, deliveries.

    It is kept for good: neither retention nor the removal of a watch or webhook takes from it.
    """
    alert = await read_alert_row(connection, incident_id)
    if alert is None:
        raise NotFoundError("incident", incident_id)
    registry = await read_registry(connection)
    traces = await read_traces(connection, alert)
    lines = timeline(alert, traces, registry)
    answer = IncidentAnswer(
        id=alert.id,
        application=registry.applications[alert.application_id].name,
        title=alert.title,
        state=alert.state,
        tier=alert.tier,
        kind=alert.kind,
        versions=registry.subject_name(alert.subject),
        onset_at=next((line.at for line in lines if line.what == "onset"), None),
        opened_at=alert.opened_at,
        resolved_at=alert.resolved_at,
        seconds=IncidentSpans(**asdict(spans(alert, traces))),
        alert=alert.detail,
        timeline=[
            IncidentLine(**(asdict(line) | {"at": line.at.astimezone(UTC)})) for line in lines
        ],
        remedies=[
            RemedyAnswer.of(r, registry)
            for r in sorted((*traces.remedies, *traces.shared), key=lambda r: r.id)
        ],
    )
    wanted = form or ("markdown" if _prefers_markdown(request) else "json")
    if wanted == "markdown":
        text = markdown(answer.model_dump(mode="json"))
        return Response(text, media_type="text/markdown; charset=utf-8")
    return answer


def _prefers_markdown(request: Request) -> bool:
    kinds = [
        part.partition(";")[0].strip() for part in request.headers.get("accept", "").split(",")
    ]
    return "text/markdown" in kinds and "application/json" not in kinds
