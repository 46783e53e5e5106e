"""`/livez`, `/readyz`, `/metrics`: what looks after the process asks, without a key."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response, status
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import text

from serving.api.bodies import View
from serving.api.context import Services, services_of
from serving.api.problems import is_connection_failure, problems
from serving.siblings import Siblings

router = APIRouter(tags=["health"])

DATABASE_SECONDS = 2.0
"""Longest wait for Postgres before it counts as away."""


class LiveView(View):
    """The process answers."""

    status: Literal["live"] = "live"


class ReadyView(View):
    """What is ready, each with `ok` or what is missing."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]
    """database, migrations, journal, shipping, routes."""


@router.get("/livez", summary="Is the process alive", responses=problems(public=True))
async def livez() -> LiveView:
    """Say that the process answers; it needs nothing else for that."""
    return LiveView()


async def _database(services: Services) -> dict[str, str]:
    """Whether Postgres answers, and whether its tables have the newest form."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS), services.engine.connect() as connection:
            rows = await connection.execute(text("SELECT version_num FROM alembic_version"))
            found = sorted(row.version_num for row in rows)
    except Exception as error:
        if isinstance(error, TimeoutError) or is_connection_failure(error):
            return {"database": "does not answer", "migrations": "unknown: no database"}
        return {"database": "ok", "migrations": f"unknown: {type(error).__name__}"}
    return {"database": "ok", "migrations": "ok" if found else "none was applied"}


def _here(services: Services) -> dict[str, str]:
    journal, lag = services.journal, services.shipping.lag()
    full = f"holds {lag.size} of {journal.limit_bytes} bytes"
    waiting = services.in_force.waiting()
    routes = f"not answering yet: {', '.join(waiting[:10])}" if waiting else "ok"
    return {
        "journal": full if journal.is_full else "ok",
        "routes": routes if services.in_force.restored else "not restored yet",
    }


@router.get(
    "/readyz",
    summary="Is the process ready for requests",
    response_model=ReadyView,
    responses={
        503: {"model": ReadyView, "description": "Something is missing; `checks` says what."},
        **problems(public=True),
    },
)
async def readyz(request: Request, response: Response) -> ReadyView:
    """Say whether this process can answer now, and if not, what is missing.

    A database that goes away later does not make it unready: predictions and feedback go on into
    the journal.
    """
    services = services_of(request)
    checks = await _database(services)
    here = _here(services)
    answering = all(value == "ok" for value in here.values())
    if not answering:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ReadyView(status="ready" if answering else "not_ready", checks={**checks, **here})


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(public=True),
    },
)
async def metrics(request: Request) -> Response:
    """Give all numbers in Prometheus' text format.

    With several workers behind the port any of them answers for all, each series with its `worker`.
    """
    siblings: Siblings = request.app.state.siblings
    body = await siblings.scrape()
    return Response(body, media_type=CONTENT_TYPE_LATEST)
