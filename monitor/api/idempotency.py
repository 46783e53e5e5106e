"""Changes that may be sent again: one `Idempotency-Key`, one change, the same answer."""

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.api.context import Caller, Transaction
from monitor.store import idempotency

CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
LONGEST = 200

Endpoint = Callable[..., Awaitable[Any]]

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST,
        description="Sent again with the same request, the change is made once and answered as "
        "before; with another request it is refused.",
    ),
]


class Changes(APIRoute):
    """A route whose changes take an `Idempotency-Key`; reads are as they were."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        if CHANGES & set(options.get("methods") or ()) and _in_a_transaction(endpoint):
            endpoint = _once(endpoint, options.get("status_code") or 200)
        super().__init__(path, endpoint, **options)


def _in_a_transaction(endpoint: Endpoint) -> bool:
    parameters = inspect.signature(endpoint).parameters.values()
    return any(one.annotation == Transaction for one in parameters)


def _once(endpoint: Endpoint, status: int) -> Endpoint:
    """Look for the answer given before, in the transaction that would make the change."""

    @wraps(endpoint)
    async def answer(idempotent_request: Request, idempotency_key: str | None, **given: Any) -> Any:
        if idempotency_key is None:
            return await endpoint(**given)
        connection = next(one for one in given.values() if isinstance(one, AsyncConnection))
        caller = next(one for one in given.values() if isinstance(one, Caller))
        digest = await _fingerprint(idempotent_request)
        before = await idempotency.find(connection, caller.id, idempotency_key, digest)
        if before is not None:
            return _again(*before)
        made = await endpoint(**given)
        body = jsonable_encoder(made)
        await idempotency.keep(
            connection,
            caller.id,
            idempotency_key,
            request_hash=digest,
            status=status,
            body={"answer": body},
        )
        return made

    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
        )
        for name, annotation, default in (
            ("idempotent_request", Request, inspect.Parameter.empty),
            ("idempotency_key", KeyHeader, None),
        )
    ]
    signature = inspect.signature(endpoint)
    own = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()
    ]
    answer.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]  # read by FastAPI
    return answer


async def _fingerprint(request: Request) -> bytes:
    text = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(text + await request.body()).digest()


def _again(status: int, kept: dict[str, Any]) -> Response:
    if status == 204:
        return Response(status_code=status)
    return JSONResponse(kept["answer"], status_code=status)
