"""Errors as RFC 9457 problem details, everywhere and in one form."""

import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from serving.errors import (
    BodyTooLargeError,
    DatabaseUnavailableError,
    FieldError,
    InternalError,
    InvalidRequestError,
    MalformedBodyError,
    MethodNotAllowedError,
    PathNotFoundError,
    ScopeMissingError,
    ServingError,
    StartingError,
    UnauthenticatedError,
    every_error,
    shown,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:leadsman:problem:"
OPEN_INFERENCE = "/v2"
"""Below it errors carry `error`, too: what the Open Inference Protocol's clients read."""
ERRORS_LIMIT = 100
"""Field errors told in one problem: a batch may have one for every row."""

log = logging.getLogger("serving.api")


class ProblemField(BaseModel):
    """One wrong field."""

    path: str = Field(description="JSON Pointer from the root of the body; ?name for a query.")
    expected: str
    received: str


class Problem(BaseModel):
    """What went wrong, by RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": TYPE_PREFIX + "application_not_found",
                    "title": "No such application",
                    "status": 404,
                    "code": "application_not_found",
                    "detail": 'No application is named "fraud".',
                }
            ]
        }
    )

    type: str = Field(description=f"{TYPE_PREFIX}<code>")
    title: str = Field(description="What happened, in general.")
    status: int
    code: str = Field(description="Stable name for programs; docs/errors.md lists all.")
    detail: str = Field(description="What happened this time.")
    errors: list[ProblemField] | None = None
    error: str | None = Field(default=None, description="The detail once more, below /v2 only.")


def problem(error: ServingError) -> dict[str, Any]:
    """An error as the body of an answer."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    if error.errors:
        body["errors"] = [
            {"path": one.path, "expected": one.expected, "received": one.received}
            for one in error.errors[:ERRORS_LIMIT]
        ]
    return body


def problem_response(error: ServingError, path: str = "") -> Response:
    """An error as an answer to a request for a path."""
    body = problem(error)
    if path.startswith(OPEN_INFERENCE + "/"):
        body["error"] = error.detail
    return Response(
        # A name in a path may hold what no UTF-8 can: ASCII with escapes always can be sent.
        json.dumps(body),
        status_code=error.status,
        headers=error.headers,
        media_type=MEDIA_TYPE,
    )


def problems(*kinds: type[ServingError], public: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: every code that it may answer, by status.

    Parameters
    ----------
    kinds
        Errors that the route may raise besides those that every route may.
    public
        The route takes no key.
    """
    everywhere: list[type[ServingError]] = [InternalError]
    if not public:
        everywhere += [InvalidRequestError, UnauthenticatedError, ScopeMissingError, StartingError]
        everywhere += [MalformedBodyError, BodyTooLargeError, DatabaseUnavailableError]
    return problems_of(*kinds, *everywhere)


def problems_of(*kinds: type[ServingError]) -> dict[int | str, dict[str, Any]]:
    """Errors as the `responses` of a route, by status."""
    by_status: dict[int, list[type[ServingError]]] = {}
    for kind in kinds:
        group = by_status.setdefault(kind.status, [])
        group += [one for one in (kind, *every_error(kind)) if "code" in one.__dict__]
    return {
        status: {
            "description": " ".join(f"`{one.code}`: {one.title}." for one in dict.fromkeys(group)),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, group in sorted(by_status.items())
    }


def _pointer(place: tuple[int | str, ...]) -> str:
    source, *rest = place or ("body",)
    if source == "body":
        parts = (str(part).replace("~", "~0").replace("/", "~1") for part in rest)
        return "".join(f"/{part}" for part in parts)
    return f"?{rest[0]}" if source == "query" and rest else "/".join(map(str, place))


_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no such field",
    "json_invalid": "JSON",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "list_type": "an array",
}


def field_error(one: Mapping[str, Any]) -> FieldError:
    """An error of pydantic in our own form.

    Parameters
    ----------
    one
        An entry of `ValidationError.errors()`; its `loc` begins with body, path, query or header.
    """
    message = str(one["msg"])
    for prefix in ("Value error, ", "Input should be ", "String should ", "List should "):
        message = message.removeprefix(prefix)
    expected = _EXPECTED.get(str(one["type"]), message)
    received = "nothing" if one["type"] == "missing" else shown(one.get("input"))
    return FieldError(_pointer(tuple(one["loc"])), expected, received)


def _from_validation(error: RequestValidationError) -> ServingError:
    entries = error.errors()
    if any(one["type"] == "json_invalid" for one in entries):
        context = entries[0].get("ctx", {})
        return MalformedBodyError("JSON", str(context.get("error", "something else")))
    return InvalidRequestError([field_error(one) for one in entries])


def _methods(request: Request) -> str:
    """Every method that the path takes; the framework names those of one route alone."""
    allowed: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(allowed))


def _from_http(request: Request, error: HTTPException) -> ServingError:
    if error.status_code == 405:
        return MethodNotAllowedError(request.method, _methods(request))
    if error.status_code == 404:
        return PathNotFoundError(request.url.path)
    if error.status_code == 413:
        return BodyTooLargeError(int(error.detail))
    if error.status_code == 400:
        return MalformedBodyError("a body that can be read", str(error.detail))
    log.error("http_error_unexpected status=%s detail=%s", error.status_code, error.detail)
    return InternalError()


def is_connection_failure(error: BaseException) -> bool:
    """Whether an error says that Postgres, or the way to it, is not there.

    asyncio raises a plain `OSError` without a number where it tried several addresses; any other
    `OSError`, a full disk for one, is not the database's.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
            return True
        # A server that is still starting comes as an error of no kind; its cause has the kind.
        said = error.orig, getattr(error.orig, "__cause__", None)
        return any(isinstance(one, BaseException) and is_connection_failure(one) for one in said)
    if isinstance(error, OSError):
        known = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
        return known or error.errno is None
    return isinstance(
        error,
        PoolTimeoutError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | asyncpg.PostgresConnectionError
        | asyncpg.OperatorInterventionError
        | asyncpg.InsufficientResourcesError,
    )


def _from_any(request: Request, error: Exception) -> ServingError:
    if is_connection_failure(error):
        log.warning("database_unavailable path=%s error=%r", request.url.path, error)
        return DatabaseUnavailableError()
    log.error("request_failed method=%s path=%s", request.method, request.url.path, exc_info=error)
    return InternalError()


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    def handle(kind: type[Exception], convert: Callable[[Request, Any], ServingError]) -> None:
        async def handler(request: Request, error: Exception) -> Response:
            return problem_response(convert(request, error), request.url.path)

        app.add_exception_handler(kind, handler)

    handle(ServingError, lambda _, error: error)
    handle(RequestValidationError, lambda _, error: _from_validation(error))
    handle(HTTPException, _from_http)
    # Starlette answers for `Exception` and raises it again for the server's log; these kinds are
    # expected, so they are taken one level further in.
    for kind in (
        SQLAlchemyError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
    ):
        handle(kind, _from_any)
    # Nobody hears the answer to a request whose client went away, and nothing failed here.
    handle(ClientDisconnect, lambda _, __: MalformedBodyError("a whole body", "a part of one"))
    handle(Exception, _from_any)
