"""Errors as RFC 9457 problem details."""

import logging
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from monitor.errors import MonitorError, NotFoundError

log = logging.getLogger("monitor.api")

MEDIA_TYPE = "application/problem+json"


class WrongField(BaseModel):
    """One field that cannot be used."""

    path: str
    expected: str
    received: str


class Problem(BaseModel):
    """What went wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[WrongField] | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in (
        (400, "The body cannot be read."),
        (401, "No key, or one that is not in force."),
        (403, "The key lacks the scope."),
        (404, "What was named is not here."),
        (409, "Its state does not allow this, or the name is taken."),
        (422, "The request cannot be used."),
        (500, "A fault of the monitor."),
        (503, "The database gives no answer."),
    )
}
"""Answers that any route may give."""


def answer(
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: list[dict[str, str]] | None = None,
    *,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as it travels."""
    body: dict[str, Any] = {
        "type": f"urn:leadsman:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(body, status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Turn every error into a problem."""

    @app.exception_handler(MonitorError)
    async def of_ours(_: Request, error: MonitorError) -> JSONResponse:
        return answer(
            error.status, error.code, error.title, error.detail, getattr(error, "errors", None)
        )

    @app.exception_handler(RequestValidationError)
    async def of_form(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {
                "path": "/" + "/".join(str(part) for part in found["loc"]),
                "expected": found["msg"],
                "received": repr(found.get("input"))[:200].encode("utf-8", "replace").decode(),
            }
            for found in error.errors()
        ]
        first = errors[0]
        detail = f"{first['path']}: {first['expected']}, received {first['received']}"
        return answer(422, "invalid_request", "The request cannot be used", detail, errors)

    @app.exception_handler(HTTPException)
    async def of_paths(request: Request, error: HTTPException) -> JSONResponse:
        code, detail = CODES.get(error.status_code, "http_error"), str(error.detail)
        headers = None
        if error.status_code == 405:
            headers = {"Allow": _methods(request)}
            detail = f"expected {headers['Allow']}, received {request.method}"
        return answer(
            error.status_code, code, "The request cannot be used", detail, headers=headers
        )

    @app.exception_handler(SQLAlchemyError)
    @app.exception_handler(OSError)
    async def of_database(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, DBAPIError) and _is_unfit(error):
            beyond = [one for one in request.path_params.values() if _is_beyond(str(one))]
            if beyond:
                return await of_ours(request, NotFoundError("thing of the number", beyond[0]))
            told = str(error.orig).splitlines()[0]
            return answer(422, "invalid_request", "The request cannot be used", told)
        if (
            isinstance(error, DBAPIError)
            and not error.connection_invalidated
            and not isinstance(error, InterfaceError | OperationalError)
        ):
            return await of_faults(request, error)
        log.warning("database_failed error=%s", error)
        return answer(
            503, "database_unavailable", "The database gives no answer", type(error).__name__
        )

    @app.exception_handler(Exception)
    async def of_faults(request: Request, error: Exception) -> JSONResponse:
        log.error("request_failed %s %s", request.method, request.url.path, exc_info=error)
        told = "The monitor could not do this; its log says why."
        return answer(500, "internal_error", "A fault of the monitor", told)


CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed"}
"""Codes of what the framework refuses."""


def _is_unfit(error: DBAPIError) -> bool:
    """Whether Postgres cannot take a value that came: a number too large, text with NUL."""
    cause: BaseException | None = error.orig
    while cause is not None:
        if isinstance(cause, asyncpg.DataError | asyncpg.CharacterNotInRepertoireError):
            return True
        cause = cause.__cause__
    return False


def _is_beyond(part: str) -> bool:
    """Whether a part of a path is a number that nothing here can have."""
    digits = part.removeprefix("-")
    return digits.isdecimal() and (len(digits) > 10 or int(digits) >= 2**31)


def _methods(request: Request) -> str:
    """Every method that the path takes; the framework names those of one route alone."""
    allowed: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(allowed))
