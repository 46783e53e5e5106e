"""Errors as RFC 9457 problem details."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from monitor.errors import MonitorError

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
    status: {"model": Problem, "description": text}
    for status, text in (
        (401, "No key, or one that is not in force."),
        (403, "The key lacks the scope."),
        (404, "What was named is not here."),
        (409, "Its state does not allow this, or the name is taken."),
        (422, "The request cannot be used."),
        (503, "The database gives no answer."),
    )
}
"""Answers that any route may give."""


def answer(
    status: int, code: str, title: str, detail: str, errors: list[dict[str, str]] | None = None
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
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
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
                "received": repr(found.get("input"))[:200],
            }
            for found in error.errors()
        ]
        first = errors[0]
        detail = f"{first['path']}: {first['expected']}, received {first['received']}"
        return answer(422, "invalid_request", "The request cannot be used", detail, errors)

    @app.exception_handler(HTTPException)
    async def of_paths(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        return answer(error.status_code, code, "The request cannot be used", str(error.detail))

    @app.exception_handler(SQLAlchemyError)
    @app.exception_handler(OSError)
    async def of_database(_: Request, error: Exception) -> JSONResponse:
        log.warning("database_failed error=%s", error)
        return answer(
            503, "database_unavailable", "The database gives no answer", type(error).__name__
        )
