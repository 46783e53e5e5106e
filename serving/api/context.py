"""What a route works with: the services of the process, and the key of the request."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from serving.artefacts import ArtefactStore
from serving.errors import ServingError
from serving.keys import KeyRing
from serving.records import Key, Scope
from serving.settings import Settings
from serving.store import idempotency
from serving.store.models import Versions

if TYPE_CHECKING:
    from serving.feedback import FeedbackDesk
    from serving.fleet import Fleet
    from serving.in_force import InForce
    from serving.inference import Inference
    from serving.journal import Journal
    from serving.launchers.base import Launcher
    from serving.replicas import Replicas
    from serving.rollout import Rollout
    from serving.shipping import Shipping

bearer = HTTPBearer(
    auto_error=False,
    description="An API key with the scope that the route names.",
    scheme_name="key",
)


@dataclass(slots=True, kw_only=True)
class Services:
    """Everything that lives as long as the process; `app.state.services`."""

    settings: Settings
    engine: AsyncEngine
    """Connections of the registry."""
    keys: KeyRing
    versions: Versions
    artefacts: ArtefactStore
    inference: "Inference"
    journal: "Journal"
    shipping: "Shipping"
    feedback: "FeedbackDesk"
    launcher: "Launcher"
    replicas: "Replicas"
    in_force: "InForce"
    fleet: "Fleet"
    rollout: "Rollout"


@dataclass(frozen=True, slots=True)
class Context:
    """One request that may do what it asks for."""

    services: Services
    key: Key

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading."""
        async with self.services.engine.connect() as connection:
            yield connection


class Replayed(Exception):
    """The change was made before: its answer, to be given again."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__("replayed")
        self.status = status
        self.body = body


@dataclass(slots=True)
class Change:
    """The transaction of one change, and the answer that is kept with it."""

    connection: AsyncConnection
    status: int = 200
    body: dict[str, Any] | None = None

    def answer(self, status: int, body: dict[str, Any] | None = None) -> None:
        """Say what the client will be told, so that a repetition is told the same."""
        self.status, self.body = status, body or {}


@dataclass(frozen=True, slots=True)
class ChangeContext(Context):
    """A request that changes something, perhaps sent before."""

    idempotency_key: str | None
    fingerprint: bytes
    """sha256 of method, path and body."""

    @asynccontextmanager
    async def change(self, fingerprint: bytes | None = None) -> AsyncIterator[Change]:
        """The one transaction of the change; it keeps the answer beside what it changes.

        Parameters
        ----------
        fingerprint
            In place of the body's, where the body's bytes differ in every repetition.

        Raises
        ------
        Replayed
            If the same request was answered before.
        IdempotencyKeyReusedError
            If another request came with the same idempotency key.
        """
        request = fingerprint or self.fingerprint
        async with self.services.engine.begin() as connection:
            change = Change(connection)
            if self.idempotency_key is None:
                yield change
                return
            # Held until the commit: of two repetitions at once, the second waits here and then
            # finds the answer of the first.
            await idempotency.lock(connection, self.key.id, self.idempotency_key)
            await self._replay(connection, request)
            yield change
            assert change.body is not None, "a change has an answer"
            await idempotency.keep(
                connection,
                self.key.id,
                self.idempotency_key,
                request_hash=request,
                status=change.status,
                body=change.body,
            )

    @asynccontextmanager
    async def once(self) -> AsyncIterator[None]:
        """Long work that a repetition of the request must not do again.

        Raises
        ------
        Replayed
            If the same request was answered before, or was while this one found that it cannot be
            done: one that is sent again while the first is under way finds the route moved by it.
        """
        await self.replay()
        try:
            yield
        except ServingError:
            await self.replay()
            raise

    async def replay(self, fingerprint: bytes | None = None) -> None:
        """Raise `Replayed` if the request was answered before; call it before any long work."""
        if self.idempotency_key is not None:
            async with self.reading() as connection:
                await self._replay(connection, fingerprint or self.fingerprint)

    async def _replay(self, connection: AsyncConnection, fingerprint: bytes) -> None:
        assert self.idempotency_key is not None
        kept = await idempotency.find(connection, self.key.id, self.idempotency_key, fingerprint)
        if kept is not None:
            raise Replayed(*kept)


def services_of(request: Request) -> Services:
    """The services of the process that answers."""
    services: Services = request.app.state.services
    return services


def needs(scope: Scope) -> Callable[..., Context]:
    """A dependency that lets only keys with the scope through."""

    def check(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)] = None,
    ) -> Context:
        services = services_of(request)
        header = request.headers.get("authorization")
        return Context(
            services, services.keys.check(header.encode("latin-1") if header else None, scope)
        )

    return check


def fingerprint(request: Request, body: bytes) -> bytes:
    """sha256 of what makes two requests the same."""
    start = f"{request.method} {request.url.path}?{request.url.query}\n".encode("utf-8", "replace")
    return hashlib.sha256(start + body).digest()


def _changes() -> Callable[..., Awaitable[ChangeContext]]:
    async def check(
        request: Request,
        context: Annotated[Context, Depends(needs("admin"))],
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=200,
                description="Makes a repetition safe: the same request with the same key is "
                "answered as before and changes nothing.",
            ),
        ] = None,
    ) -> ChangeContext:
        # A multipart body has another boundary each time, and may be long: its route states
        # its own fingerprint.
        multipart = request.headers.get("content-type", "").startswith("multipart/")
        body = b"" if multipart or idempotency_key is None else await request.body()
        return ChangeContext(
            context.services, context.key, idempotency_key, fingerprint(request, body)
        )

    return check


PredictContext = Annotated[Context, Depends(needs("predict"))]
FeedbackContext = Annotated[Context, Depends(needs("feedback"))]
ReadContext = Annotated[Context, Depends(needs("read"))]
AdminContext = Annotated[Context, Depends(needs("admin"))]
Changes = Annotated[ChangeContext, Depends(_changes())]
"""Needs scope admin; takes an Idempotency-Key."""
