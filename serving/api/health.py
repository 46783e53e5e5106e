"""`/livez`, `/readyz`, `/metrics`: what looks after the process asks, without a key."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response, status
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.api.bodies import View
from serving.api.context import Services, services_of
from serving.api.problems import is_connection_failure, problems
from serving.siblings import Siblings
from serving.store import form

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
    """database, migrations, fleet, journal, routes."""
    degraded: list[str]
    """What is less than it should be while requests are answered all the same."""
    worker: int
    """Number of the process that says so; 0 where there is only one."""


@router.get("/livez", summary="Is the process alive", responses=problems(public=True))
async def livez() -> LiveView:
    """Say that the process answers; it needs nothing else for that."""
    return LiveView()


async def _database(services: Services) -> dict[str, str]:
    """Whether Postgres answers, and whether its tables have the form that this process writes."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS), services.engine.connect() as connection:
            lacking = await form.lacking(connection)
    except Exception as error:
        if isinstance(error, TimeoutError) or is_connection_failure(error):
            return {"database": "does not answer", "migrations": "unknown: no database"}
        return {"database": "ok", "migrations": f"unknown: {type(error).__name__}"}
    names = ", ".join(lacking[:5])
    return {
        "database": "ok",
        "migrations": f"behind: {names} missing; run leadsman migrate" if lacking else "ok",
    }


def _degraded(services: Services, checks: dict[str, str]) -> list[str]:
    """What an operator should look at although requests are answered."""
    found = [f"{name}: {value}" for name, value in checks.items() if value != "ok"]
    copied_at = services.in_force.copied_at
    if copied_at is not None:
        found.append(
            f"routes: as of {copied_at.isoformat(timespec='seconds')}, from the local copy, as "
            "Postgres was away when this process started"
        )
    unread = sorted(services.in_force.unread.items())[:10]
    found += [f"route of {name}: {why}" for name, why in unread]
    return found


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
    the journal, and `degraded` says so. A process that starts while the database is away serves the
    routes, versions and keys that it knew last.
    """
    services = services_of(request)
    checks = await _database(services)
    following = services.fleet.connected
    checks["fleet"] = "ok" if following else "does not hear of what other processes change"
    here = _here(services)
    answering = all(value == "ok" for value in here.values())
    if not answering:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ReadyView(
        status="ready" if answering else "not_ready",
        checks={**checks, **here},
        degraded=_degraded(services, checks),
        worker=services.settings.worker,
    )


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
