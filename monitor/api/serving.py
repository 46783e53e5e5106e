"""What serving shows, through this door: a page may speak to its own origin alone."""

from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from monitor.api.context import Admin, Credentials, Reader, StateOf
from monitor.api.idempotency import KeyHeader
from monitor.api.problems import PROBLEMS
from monitor.errors import ServingUnavailableError

router = APIRouter(prefix="/v1/serving", tags=["serving"], responses=PROBLEMS)

TIMEOUT_S = 90.0
"""A change of route starts and probes replicas before it answers."""
READS = (
    ("/models", "List the models"),
    ("/models/{model}/versions", "List the versions of a model"),
    ("/models/{model}/versions/{version}/replicas", "Show the replicas of a version"),
    ("/predictions/{prediction}", "Show all that is known of a prediction"),
    ("/applications/{application}/revisions", "List the revisions of a route"),
    ("/keys", "List the keys"),
)
CHANGES = (
    ("POST", "/applications/{application}/rollback", "Roll back"),
    ("POST", "/keys", "Make a key; it is shown once"),
    ("DELETE", "/keys/{key}", "Revoke a key"),
)
"""Nothing else passes."""
KEPT = ("content-type", "retry-after")
"""Headers of an answer that are handed on."""
SCHEMA: dict[str, Any] = {"application/json": {"schema": {}}}


async def read(state: StateOf, request: Request, credentials: Credentials, _: Reader) -> Response:
    """Ask serving with the caller's own key; its answer as it comes."""
    return await _pass_on(state, request, credentials)


async def change(
    state: StateOf,
    request: Request,
    credentials: Credentials,
    _: Admin,
    _idempotency_key: KeyHeader = None,
) -> Response:
    """Send the change to serving with the caller's own key; its answer as it comes."""
    return await _pass_on(state, request, credentials)


async def _pass_on(state: StateOf, request: Request, credentials: Credentials) -> Response:
    assert credentials is not None, "the key was looked at before"
    headers = {"Authorization": f"Bearer {credentials.credentials}"}
    for name in ("idempotency-key", "content-type"):
        if name in request.headers:
            headers[name] = request.headers[name]
    # The path as it came: what is escaped in it stays so, and cannot become another path.
    raw = request.scope["raw_path"].decode("ascii").partition("?")[0]
    path = raw.replace("/v1/serving/", "/v1/", 1)
    async with httpx.AsyncClient(
        base_url=state.settings.serving_url, timeout=TIMEOUT_S, trust_env=False
    ) as client:
        try:
            answer = await client.request(
                request.method, path, content=await request.body(), headers=headers
            )
        except httpx.HTTPError as error:
            raise ServingUnavailableError(f"{type(error).__name__}: {error}") from error
    kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
    return Response(answer.content, answer.status_code, headers=kept)


def _add(method: str, path: str, summary: str, endpoint: Any) -> None:
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    operation = f"{method.lower()}_serving{path.translate(str.maketrans('/{}', '_  '))}"
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        summary=summary,
        operation_id=operation.replace(" ", ""),
        response_class=Response,
        route_class_override=APIRoute,
        responses={
            "2XX": {"description": "As serving answers.", "content": SCHEMA},
            "4XX": {"description": "As serving answers."},
            "5XX": {"description": "As serving answers, or it gave no answer."},
        },
        openapi_extra={
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ]
        }
        if names
        else None,
    )


for _path, _summary in READS:
    _add("GET", _path, _summary, read)
for _method, _path, _summary in CHANGES:
    _add(_method, _path, _summary, change)
