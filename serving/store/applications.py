"""Tables `applications` and `input_schemas`."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import ApplicationExistsError, ApplicationNotFoundError
from serving.records import Application, InputSchema, Task
from serving.schema import ApplicationRow, InputSchemaRow, RevisionRow
from serving.store.notices import Channel, notify

MILLISECOND = timedelta(milliseconds=1)


def _query() -> Select[Any]:
    # The form in force is the one of the newest revision, which after a rollback may be an older
    # one; before there is a route, the form stated last.
    in_force = (
        select(RevisionRow.input_schema_id)
        .where(RevisionRow.application_id == ApplicationRow.id)
        .order_by(RevisionRow.revision.desc())
        .limit(1)
        .correlate(ApplicationRow)
        .scalar_subquery()
    )
    stated_last = (
        select(func.max(InputSchemaRow.id))
        .where(InputSchemaRow.application_id == ApplicationRow.id)
        .correlate(ApplicationRow)
        .scalar_subquery()
    )
    return (
        select(
            ApplicationRow.__table__,
            InputSchemaRow.id.label("schema_id"),
            InputSchemaRow.schema,
            InputSchemaRow.features,
            InputSchemaRow.encoding,
        )
        .select_from(ApplicationRow)
        .outerjoin(InputSchemaRow, InputSchemaRow.id == func.coalesce(in_force, stated_last))
        .where(ApplicationRow.deleted_at.is_(None))
    )


def _schema(row: Any) -> InputSchema:
    return InputSchema(row.id, row.schema, tuple(row.features), row.encoding)


def _record(row: Any) -> Application:
    schema = None
    if row.schema_id is not None:
        schema = InputSchema(row.schema_id, row.schema, tuple(row.features), row.encoding)
    return Application(
        id=row.id,
        name=row.name,
        task=row.task,
        input_schema=schema,
        default_output=row.default_output,
        latency_objective=row.latency_objective_ms * MILLISECOND,
        context_keys=tuple(row.context_keys),
        durability=row.durability,
        created_at=row.created_at,
    )


async def every(connection: AsyncConnection) -> list[Application]:
    """Every application that is not deleted, by name."""
    return [_record(row) for row in await connection.execute(_query().order_by("name"))]


async def get(connection: AsyncConnection, name: str) -> Application:
    """One application.

    Raises
    ------
    ApplicationNotFoundError
        If there is none of this name, or it is deleted.
    """
    row = (await connection.execute(_query().where(ApplicationRow.name == name))).one_or_none()
    if row is None:
        raise ApplicationNotFoundError(name)
    return _record(row)


async def lock(connection: AsyncConnection, name: str) -> Application:
    """One application, held against other changes until the transaction ends.

    Raises
    ------
    ApplicationNotFoundError
        If there is none of this name, or it is deleted.
    """
    await connection.execute(
        select(ApplicationRow.id).where(ApplicationRow.name == name).with_for_update()
    )
    # Read after the lock: what the transaction before this one wrote is then seen.
    return await get(connection, name)


async def create(
    connection: AsyncConnection, *, name: str, task: Task, settings: dict[str, Any]
) -> int:
    """Make an application and return its id.

    Raises
    ------
    ApplicationExistsError
        If the name is taken, also by a deleted one: the record still speaks of it.
    """
    rows = await connection.execute(
        postgres_insert(ApplicationRow)
        .values(name=name, task=task, **settings)
        .on_conflict_do_nothing(index_elements=[ApplicationRow.name])
        .returning(ApplicationRow.id)
    )
    made = rows.scalar_one_or_none()
    if made is None:
        raise ApplicationExistsError(name)
    await notify(connection, Channel.APPLICATIONS, made)
    return int(made)


async def change(
    connection: AsyncConnection, application_id: int, settings: dict[str, Any]
) -> None:
    """Change settings of an application, by column name."""
    if settings:
        await connection.execute(
            update(ApplicationRow).where(ApplicationRow.id == application_id).values(settings)
        )
        await notify(connection, Channel.APPLICATIONS, application_id)


async def delete(connection: AsyncConnection, application_id: int) -> None:
    """Hide an application; its record stays."""
    await connection.execute(
        update(ApplicationRow)
        .where(ApplicationRow.id == application_id)
        .values(deleted_at=func.now())
    )
    await notify(connection, Channel.APPLICATIONS, application_id)


async def add_schema(
    connection: AsyncConnection, application_id: int, schema: InputSchema
) -> InputSchema:
    """Keep a new form of the inputs; its id is drawn here."""
    rows = await connection.execute(
        insert(InputSchemaRow)
        .values(
            application_id=application_id,
            schema=schema.schema,
            features=list(schema.features),
            encoding=schema.encoding,
        )
        .returning(*InputSchemaRow.__table__.columns)
    )
    return _schema(rows.one())


async def schema(connection: AsyncConnection, schema_id: int) -> InputSchema:
    """One form of an application's inputs."""
    rows = await connection.execute(
        select(InputSchemaRow.__table__).where(InputSchemaRow.id == schema_id)
    )
    return _schema(rows.one())


async def schemas(connection: AsyncConnection, ids: Collection[int]) -> dict[int, InputSchema]:
    """Forms of inputs by id."""
    rows = await connection.execute(
        select(InputSchemaRow.__table__).where(InputSchemaRow.id.in_(ids))
    )
    return {row.id: _schema(row) for row in rows}
