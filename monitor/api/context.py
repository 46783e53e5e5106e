"""What a route is given: a transaction of its own and the key that came with the request."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID
from weakref import WeakKeyDictionary

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import ForbiddenError, NotFoundError, UnauthorizedError
from monitor.loop import Pulse
from monitor.records import Application, Registry
from monitor.settings import Settings
from monitor.store import registry as registry_store
from monitor.views.figures import Figures
from monitor.wall_clock import Clock
from serving.schema import KeyRow


@dataclass(frozen=True, slots=True)
class State:
    """What the process holds."""

    engine: AsyncEngine
    settings: Settings
    pulse: Pulse
    figures: Figures


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key came."""

    id: UUID
    name: str
    scopes: tuple[str, ...] = ()


def state_of(request: Request) -> State:
    """The process's own things."""
    state: State = request.app.state.monitor
    return state


StateOf = Annotated[State, Depends(state_of)]


def clock_of(state: StateOf) -> Clock:
    """The clock that the process goes by."""
    return state.pulse.clock


ClockOf = Annotated[Clock, Depends(clock_of)]


async def transaction(state: StateOf) -> AsyncIterator[AsyncConnection]:
    """One request, one transaction: committed when the route returned, undone when it raised."""
    async with state.engine.begin() as connection:
        yield connection


# Scope "function": the transaction is committed before the answer leaves, not after it.
Transaction = Annotated[AsyncConnection, Depends(transaction, scope="function")]

_bearer = HTTPBearer(auto_error=False, description="A key of Leadsman, lsm_...")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def needs(scope: str) -> Callable[..., Awaitable[Caller]]:
    """Demand a key with a scope; admin holds all others."""

    async def check(connection: Transaction, credentials: Credentials) -> Caller:
        if credentials is None:
            raise UnauthorizedError
        digest = hashlib.sha256(credentials.credentials.encode()).digest()
        row = (
            await connection.execute(
                select(KeyRow.id, KeyRow.name, KeyRow.scopes).where(
                    KeyRow.hash == digest, KeyRow.revoked_at.is_(None)
                )
            )
        ).one_or_none()
        if row is None:
            raise UnauthorizedError
        if scope not in row.scopes and "admin" not in row.scopes:
            raise ForbiddenError(scope)
        return Caller(row.id, row.name, tuple(row.scopes))

    return check


Reader = Annotated[Caller, Depends(needs("read"))]
Admin = Annotated[Caller, Depends(needs("admin"))]


_KNOWN: WeakKeyDictionary[AsyncEngine, tuple[tuple[str | None, ...], Registry]] = (
    WeakKeyDictionary()
)


async def read_registry(connection: AsyncConnection) -> Registry:
    """What serving knows by name; read anew only where it changed since the last request.

    Every view asks for it, and of 200 applications it takes longer to make than the rest of a view.
    """
    # The token comes first: what changes between the two is read twice rather than never.
    token = await registry_store.read_token(connection)
    known = _KNOWN.get(connection.engine)
    if known is None or known[0] != token:
        known = token, await registry_store.read_registry(connection)
        _KNOWN[connection.engine] = known
    return known[1]


async def named(connection: AsyncConnection, name: str) -> tuple[Application, Registry]:
    """The application that a path or a body names."""
    registry = await read_registry(connection)
    for application in registry.applications.values():
        if application.name == name:
            return application, registry
    raise NotFoundError("application", name)
