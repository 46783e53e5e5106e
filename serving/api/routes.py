"""`/v1/applications/{application}/route`: which versions answer, and the way back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.api.applications import ApplicationName
from serving.api.bodies import Body, Evidence, Reason, View
from serving.api.context import Change, ChangeContext, Changes, ReadContext
from serving.api.problems import problems
from serving.errors import (
    ApplicationNotFoundError,
    InvalidInputError,
    InvalidPolicyError,
    NothingToRollBackToError,
    ProbeFailedError,
    RevisionMovedError,
    RevisionNotFoundError,
    RouteNotFoundError,
    SchemaMissingError,
    VersionFailedToStartError,
    VersionNotFoundError,
)
from serving.policies.schema import POLICY_SCHEMA
from serving.records import Revision
from serving.route_orders import Order
from serving.store import applications, revisions, served_revisions

router = APIRouter(prefix="/v1/applications/{application}", tags=["routes"])

Expected = Annotated[
    int | None,
    Field(ge=0, le=2**31 - 1, description="Refuse the change if another revision is in force."),
]


class RouteRequest(Body):
    """A policy to be put in force."""

    policy: dict[str, Any] = Field(
        examples=[
            {"kind": "single", "champion": "fraud:3"},
            {"kind": "canary", "champion": "fraud:3", "challenger": "fraud:4", "share": 0.05},
            {"kind": "shadow", "champion": "fraud:3", "challengers": ["fraud:4"], "share": 1.0},
            {"kind": "ensemble", "members": ["fraud:3", "fraud:4"], "combine": "mean"},
            {"kind": "thompson", "arms": ["fraud:3", "fraud:4"], "state_by": "region"},
        ],
        json_schema_extra=POLICY_SCHEMA,
    )
    """Which versions answer, each as `model:version`."""
    probe: dict[str, Any] | list[Any] | None = None
    """An input that each version must answer first; its stored reference rows where absent."""
    reason: Reason = None
    evidence: Evidence = None
    expected_revision: Expected = None


class RollbackRequest(Body):
    """What to return to."""

    to_revision: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """The last good one where absent: the nearest state before with another champion."""
    reason: Reason = None
    evidence: Evidence = None
    expected_revision: Expected = None


class RevisionView(View):
    """One numbered state of a route."""

    application: str
    revision: int
    kind: Literal["change", "rollback"]
    restores: int | None
    """The revision that a rollback returned to."""
    policy: dict[str, Any]
    created_at: datetime
    actor: str
    """Name of the key that made the change."""
    reason: str | None
    evidence: dict[str, Any] | None
    decided_at: datetime | None
    """When the change was asked for; `created_at` is when all was ready for it."""


class ProcessView(View):
    """One serving process, and what it answers by."""

    name: str
    """Machine and data folder."""
    pid: int
    living: bool
    """False once it was killed, hangs, or is cut off from Postgres; it may still answer then."""
    heartbeat_at: datetime
    revision: int | None
    """Written once it has switched; null while it has no route for the application."""
    switched_at: datetime | None


class RouteView(RevisionView):
    """The revision in force, and who has switched to it."""

    processes: list[ProcessView]
    """Every serving process, by name."""


class RevisionsView(View):
    """Revisions, the newest first."""

    revisions: list[RevisionView]


def view(revision: Revision) -> dict[str, Any]:
    """A revision as it travels."""
    fields = RevisionView.model_fields
    return RevisionView.model_validate(
        {name: getattr(revision, name) for name in fields}
    ).model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class _Recording:
    """A revision is written in the transaction that keeps the answer."""

    change: Change

    @property
    def connection(self) -> AsyncConnection:
        """The transaction."""
        return self.change.connection

    async def revised(self, revision: Revision) -> None:
        """Take note of the answer."""
        self.change.answer(200, view(revision))


def _order(context: ChangeContext, body: RouteRequest | RollbackRequest) -> Order:
    @asynccontextmanager
    async def begin() -> AsyncIterator[_Recording]:
        async with context.change() as change:
            yield _Recording(change)

    probe = body.probe if isinstance(body, RouteRequest) else None
    return Order(context.key, begin, body.reason, body.evidence, body.expected_revision, probe)


@router.get(
    "/route",
    summary="Show the route",
    responses=problems(ApplicationNotFoundError, RouteNotFoundError),
)
async def show_route(application: ApplicationName, context: ReadContext) -> RouteView:
    """Show the revision in force, and which revision each serving process answers by."""
    async with context.reading() as connection:
        found = await applications.get(connection, application)
        revision = await revisions.current(connection, found)
        processes = await served_revisions.of_application(connection, found.id)
    shown = [asdict(one) for one in processes]
    return RouteView.model_validate(view(revision) | {"processes": shown})


@router.put(
    "/route",
    summary="Change the route",
    responses=problems(
        ApplicationNotFoundError,
        VersionNotFoundError,
        InvalidPolicyError,
        SchemaMissingError,
        RevisionMovedError,
        VersionFailedToStartError,
        ProbeFailedError,
        InvalidInputError,
    ),
)
async def change_route(
    application: ApplicationName, body: RouteRequest, context: Changes
) -> RevisionView:
    """Put a policy in force: start its versions, probe them, write the revision, switch, drain.

    Every serving process starts and probes them before anything is written. If a version does not
    come up in time in one of them, the old route stands everywhere, and the problem carries the
    last lines that the version's process wrote. What the last good revision needs stays warm. The
    answer comes when all processes have switched.
    """
    rollout = context.services.rollout
    async with context.once():
        revision = await rollout.change(application, body.policy, _order(context, body))
    return RevisionView.model_validate(view(revision))


@router.post(
    "/rollback",
    summary="Roll back",
    responses=problems(
        ApplicationNotFoundError,
        RevisionNotFoundError,
        VersionNotFoundError,
        NothingToRollBackToError,
        RevisionMovedError,
        VersionFailedToStartError,
        ProbeFailedError,
    ),
)
async def roll_back(
    application: ApplicationName, context: Changes, body: RollbackRequest | None = None
) -> RevisionView:
    """Return to an earlier revision, as a new revision of its own.

    Without a target it is the last good one, which is warm: nothing has to start. Each such call
    goes one step further back. So where no answer comes, send it again with the `Idempotency-Key`
    of the first time, and with `expected_revision` where somebody else may roll back as well.
    """
    given = body or RollbackRequest()
    rollout = context.services.rollout
    async with context.once():
        revision = await rollout.roll_back(application, given.to_revision, _order(context, given))
    return RevisionView.model_validate(view(revision))


@router.get(
    "/revisions",
    summary="List the revisions",
    responses=problems(ApplicationNotFoundError),
)
async def list_revisions(
    application: ApplicationName,
    context: ReadContext,
    limit: Annotated[int, Query(ge=1, le=1000, description="Revisions at most.")] = 100,
    before: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only those below this number.")
    ] = None,
) -> RevisionsView:
    """List what has been in force, the newest first: who, when, why, and on which evidence."""
    async with context.reading() as connection:
        found = await applications.get(connection, application)
        history = await revisions.history(connection, found.id)
    wanted = [one for one in reversed(history) if before is None or one.revision < before]
    return RevisionsView.model_validate({"revisions": [view(one) for one in wanted[:limit]]})
