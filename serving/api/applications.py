"""`/v1/applications`: what clients call."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response, status
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.api.bodies import Body, Name, Reason, View
from serving.api.context import Change, Changes, ReadContext
from serving.api.problems import problems
from serving.errors import (
    ApplicationExistsError,
    ApplicationNotFoundError,
    FieldError,
    InvalidRequestError,
    InvalidSchemaError,
    ProbeFailedError,
    RevisionMovedError,
    VersionFailedToStartError,
    shown,
)
from serving.inputs import compile_schema
from serving.records import Application, Durability, InputSchema, Revision, Task
from serving.route_orders import Order
from serving.store import applications, revisions

router = APIRouter(prefix="/v1/applications", tags=["applications"])

ApplicationName = Annotated[str, Path(alias="application", description="Name of the application.")]


class ApplicationRequest(Body):
    """An application to be made."""

    name: Name
    """Letters, digits, dots, dashes and underscores."""
    task: Task
    input_schema: dict[str, Any] | None = None
    """JSON Schema of one input; inferred from the first version's reference rows where absent."""
    default_output: str | float | int | bool | None = None
    """Answered where no version answers by the deadline."""
    latency_objective_ms: int = Field(default=100, ge=1, le=600_000)
    """Deadline of an answer."""
    context_keys: list[str] = Field(default=[], max_length=64)
    """Keys of a request's context that are kept; every key where empty."""
    durability: Durability = "journal"
    """When an answer may leave: once Postgres has it, once the local journal has it, at once."""


class ApplicationPatch(Body):
    """What is to change of an application; absent fields stay."""

    input_schema: dict[str, Any] | None = None
    default_output: str | float | int | bool | None = None
    latency_objective_ms: int | None = Field(default=None, ge=1, le=600_000)
    context_keys: list[str] | None = Field(default=None, max_length=64)
    durability: Durability | None = None
    reason: Reason = None


class ApplicationView(View):
    """An application."""

    name: str
    task: Task
    input_schema: dict[str, Any] | None
    features: list[str]
    """Names of the features in the order of an array."""
    default_output: Any
    latency_objective_ms: int
    context_keys: list[str]
    durability: Durability
    created_at: datetime


class ApplicationsView(View):
    """Every application, by name."""

    applications: list[ApplicationView]


def view(application: Application) -> dict[str, Any]:
    """An application as it travels."""
    schema = application.input_schema
    return ApplicationView(
        name=application.name,
        task=application.task,
        input_schema=schema.schema if schema else None,
        features=list(schema.features) if schema else [],
        default_output=application.default_output,
        latency_objective_ms=round(application.latency_objective.total_seconds() * 1000),
        context_keys=list(application.context_keys),
        durability=application.durability,
        created_at=application.created_at,
    ).model_dump(mode="json")


def new_schema(schema: Mapping[str, Any]) -> InputSchema:
    """A form of the inputs that is not kept yet.

    Raises
    ------
    InvalidSchemaError
        If rows cannot be encoded by it; paths begin with `/input_schema`.
    """
    try:
        codec = compile_schema(schema)
    except InvalidSchemaError as error:
        raise InvalidSchemaError(
            [FieldError(f"/input_schema{e.path}", e.expected, e.received) for e in error.errors]
        ) from error
    return InputSchema(0, dict(schema), codec.features, codec.encoding)


def check_default(task: Task, default: Any) -> None:
    """Refuse a default that is no output: a scalar, and a number where the task is regression."""
    expected = None
    if isinstance(default, list | dict):
        expected = "a string, a number, a boolean or null"
    if task == "regression" and default is not None:
        number = isinstance(default, int | float) and not isinstance(default, bool)
        expected = None if number else "a number or null, as the task is regression"
    if expected is not None:
        raise InvalidRequestError([FieldError("/default_output", expected, shown(default))])


@router.get("", summary="List the applications", responses=problems())
async def list_applications(context: ReadContext) -> ApplicationsView:
    """List every application that is not deleted, by name."""
    async with context.reading() as connection:
        found = await applications.every(connection)
    return ApplicationsView.model_validate({"applications": [view(one) for one in found]})


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Make an application",
    responses=problems(ApplicationExistsError, InvalidSchemaError),
)
async def create_application(body: ApplicationRequest, context: Changes) -> ApplicationView:
    """Make an application. It answers once a route is set."""
    check_default(body.task, body.default_output)
    schema = None if body.input_schema is None else new_schema(body.input_schema)
    fields = {"default_output", "latency_objective_ms", "context_keys", "durability"}
    async with context.change() as change:
        made = await applications.create(
            change.connection,
            name=body.name,
            task=body.task,
            settings=body.model_dump(include=fields),
        )
        if schema is not None:
            await applications.add_schema(change.connection, made, schema)
        answer = view(await applications.get(change.connection, body.name))
        change.answer(status.HTTP_201_CREATED, answer)
    await context.services.in_force.refresh(body.name)
    return ApplicationView.model_validate(answer)


@router.get(
    "/{application}",
    summary="Show an application",
    responses=problems(ApplicationNotFoundError),
)
async def show_application(application: ApplicationName, context: ReadContext) -> ApplicationView:
    """Show an application with the form of its inputs that is in force."""
    async with context.reading() as connection:
        found = await applications.get(connection, application)
    return ApplicationView.model_validate(view(found))


@dataclass(frozen=True, slots=True)
class _SchemaRecording:
    """A change of the schema writes the other changes of the same request as well."""

    change: Change
    name: str
    settings: dict[str, Any]

    @property
    def connection(self) -> AsyncConnection:
        """The transaction."""
        return self.change.connection

    async def revised(self, revision: Revision) -> None:
        """Write the rest and take note of the answer."""
        await applications.change(self.connection, revision.application_id, self.settings)
        answer = view(await applications.get(self.connection, self.name))
        self.change.answer(status.HTTP_200_OK, answer)


@router.patch(
    "/{application}",
    summary="Change an application",
    responses=problems(
        ApplicationNotFoundError,
        InvalidSchemaError,
        RevisionMovedError,
        VersionFailedToStartError,
        ProbeFailedError,
    ),
)
async def change_application(
    application: ApplicationName, body: ApplicationPatch, context: Changes
) -> ApplicationView:
    """Change fields of an application.

    A new input schema makes a new revision of the route, whose versions are started and probed
    with it first.
    """
    await context.replay()
    settings = body.model_dump(exclude_unset=True, exclude={"input_schema", "reason"})
    empty = [name for name, value in settings.items() if value is None and name != "default_output"]
    if empty:
        raise InvalidRequestError([FieldError(f"/{name}", "a value", "null") for name in empty])
    schema = None if body.input_schema is None else new_schema(body.input_schema)
    async with context.reading() as connection:
        found = await applications.get(connection, application)
        history = await revisions.history(connection, found.id)
    if "default_output" in settings:
        check_default(found.task, settings["default_output"])
    rollout = context.services.rollout
    if schema is not None and history:

        @asynccontextmanager
        async def begin() -> AsyncIterator[_SchemaRecording]:
            async with context.change() as change:
                yield _SchemaRecording(change, application, settings)

        order = Order(context.key, begin, body.reason)
        async with context.once():
            await rollout.change_schema(application, schema, order)
    else:
        async with context.change() as change:
            held = await applications.lock(change.connection, application)
            await applications.change(change.connection, held.id, settings)
            if schema is not None:
                await applications.add_schema(change.connection, held.id, schema)
            change.answer(200, view(await applications.get(change.connection, application)))
        await context.services.in_force.refresh(application)
    return await show_application(application, context)


@router.delete(
    "/{application}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete an application",
    responses=problems(ApplicationNotFoundError),
    response_class=Response,
)
async def delete_application(application: ApplicationName, context: Changes) -> None:
    """Stop answering for an application. Its record stays, and so its name stays taken."""
    async with context.change() as change:
        found = await applications.lock(change.connection, application)
        await applications.delete(change.connection, found.id)
        change.answer(status.HTTP_204_NO_CONTENT)
    await context.services.in_force.refresh(application)
