"""Tables `models`, `versions` and `version_references`."""

from collections.abc import Collection
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.errors import ModelNotFoundError, ReferenceNotFoundError, VersionNotFoundError
from serving.records import Reference, Version
from serving.schema import ModelRow, ReferenceRow, VersionRow


def _query() -> Select[Any]:
    return (
        select(VersionRow.__table__, ModelRow.name.label("model"))
        .select_from(VersionRow)
        .join(ModelRow, ModelRow.id == VersionRow.model_id)
        .where(VersionRow.deleted_at.is_(None))
        .order_by(VersionRow.id)
    )


class Versions:
    """Reads and writes versions; knows where the artefacts lie."""

    def __init__(self, artefacts: Path) -> None:
        self._artefacts = artefacts

    def _record(self, row: Any) -> Version:
        return Version(
            id=row.id,
            model=row.model,
            version=row.version,
            framework=row.framework,
            manifest=row.manifest,
            digest=row.digest,
            size_bytes=row.size_bytes,
            artefact=self._artefacts / row.artefact,
            created_at=row.created_at,
        )

    async def of_model(self, connection: AsyncConnection, model: str) -> list[Version]:
        """Every version of a model, the oldest first.

        Raises
        ------
        ModelNotFoundError
            If there is no such model.
        """
        known = await connection.execute(select(ModelRow.id).where(ModelRow.name == model))
        if known.one_or_none() is None:
            raise ModelNotFoundError(model)
        rows = await connection.execute(_query().where(ModelRow.name == model))
        return [self._record(row) for row in rows]

    async def get(self, connection: AsyncConnection, model: str, version: str) -> Version:
        """One version.

        Raises
        ------
        VersionNotFoundError
            If there is none.
        """
        ref = f"{model}:{version}"
        return (await self.by_refs(connection, [ref]))[ref]

    async def lock(self, connection: AsyncConnection, model: str, version: str) -> Version:
        """One version, held against whoever needs it until the transaction ends; as `get`."""
        found = await self.get(connection, model, version)
        await connection.execute(
            select(VersionRow.id).where(VersionRow.id == found.id).with_for_update()
        )
        # Read again after the lock: it may have been deleted meanwhile.
        return await self.get(connection, model, version)

    async def by_refs(
        self, connection: AsyncConnection, refs: Collection[str], *, hold: bool = False
    ) -> dict[str, Version]:
        """Versions by `model:version`.

        Parameters
        ----------
        hold
            Let nobody delete them until the transaction ends.

        Raises
        ------
        VersionNotFoundError
            If one is missing; names every one that is.
        """
        pairs = [tuple(ref.split(":", 1)) for ref in refs if ":" in ref]
        named = tuple_(ModelRow.name, VersionRow.version).in_(pairs)
        query = _query().where(named)
        if hold:
            query = query.with_for_update(read=True, of=VersionRow)
        rows = await connection.execute(query)
        found = {record.ref: record for record in map(self._record, rows)}
        missing = [ref for ref in refs if ref not in found]
        if missing:
            raise VersionNotFoundError(*missing)
        return found

    async def find_any(
        self, connection: AsyncConnection, model: str, version: str
    ) -> tuple[Version, bool] | None:
        """A version and whether it is deleted: its name is taken for ever."""
        query = (
            select(VersionRow.__table__, ModelRow.name.label("model"))
            .join(ModelRow, ModelRow.id == VersionRow.model_id)
            .where(and_(ModelRow.name == model, VersionRow.version == version))
        )
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else (self._record(row), row.deleted_at is not None)

    async def create(
        self,
        connection: AsyncConnection,
        model: str,
        *,
        version: str,
        manifest: dict[str, Any],
        digest: str,
        size_bytes: int,
        artefact: str,
        created_by: UUID,
    ) -> Version:
        """Keep a version; the caller holds the model and found no such version."""
        model_id = await ensure_model(connection, model)
        await connection.execute(
            insert(VersionRow).values(
                model_id=model_id,
                version=version,
                framework=manifest["framework"],
                manifest=manifest,
                digest=digest,
                size_bytes=size_bytes,
                artefact=artefact,
                created_by=created_by,
            )
        )
        return await self.get(connection, model, version)


async def ensure_model(connection: AsyncConnection, model: str) -> int:
    """Id of the model, made if absent; held against others until the transaction ends."""
    rows = await connection.execute(
        postgres_insert(ModelRow)
        .values(name=model)
        # An update that changes nothing, so that the row is locked and its id comes back.
        .on_conflict_do_update(index_elements=[ModelRow.name], set_={"name": model})
        .returning(ModelRow.id)
    )
    return int(rows.scalar_one())


async def models(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Name and number of versions of every model, by name."""
    rows = await connection.execute(
        select(ModelRow.name, func.count(VersionRow.id))
        .outerjoin(
            VersionRow, and_(VersionRow.model_id == ModelRow.id, VersionRow.deleted_at.is_(None))
        )
        .group_by(ModelRow.name)
        .order_by(ModelRow.name)
    )
    return [(name, count) for name, count in rows]


async def delete(connection: AsyncConnection, version_id: int) -> None:
    """Hide a version; the record still speaks of it."""
    await connection.execute(
        update(VersionRow).where(VersionRow.id == version_id).values(deleted_at=func.now())
    )


async def put_reference(
    connection: AsyncConnection,
    version_id: int,
    *,
    features: tuple[str, ...],
    inputs: list[list[Any]],
    labels: list[Any] | None,
    outputs: list[Any] | None,
) -> None:
    """Keep reference rows in place of any that were there."""
    values = {
        "features": list(features),
        "inputs": inputs,
        "labels": labels,
        "outputs": outputs,
        "created_at": func.now(),
    }
    await connection.execute(
        postgres_insert(ReferenceRow)
        .values(version_id=version_id, **values)
        .on_conflict_do_update(index_elements=[ReferenceRow.version_id], set_=values)
    )


async def copy_reference(connection: AsyncConnection, source: int, target: int) -> None:
    """Give a version the reference rows of another; not its outputs, which are the other's."""
    row = ReferenceRow
    found = select(literal(target), row.features, row.inputs, row.labels).where(
        row.version_id == source
    )
    await connection.execute(
        insert(row).from_select(["version_id", "features", "inputs", "labels"], found)
    )


async def created_by(connection: AsyncConnection, version_id: int) -> UUID | None:
    """Id of the key that registered a version."""
    found: UUID | None = await connection.scalar(
        select(VersionRow.created_by).where(VersionRow.id == version_id)
    )
    return found


async def find_reference(connection: AsyncConnection, version_id: int) -> Reference | None:
    """The reference rows of a version, if any were given."""
    rows = await connection.execute(
        select(ReferenceRow.__table__).where(ReferenceRow.version_id == version_id)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return Reference(
        row.version_id, tuple(row.features), row.inputs, row.labels, row.outputs, row.created_at
    )


async def reference(connection: AsyncConnection, version: Version) -> Reference:
    """The reference rows of a version.

    Raises
    ------
    ReferenceNotFoundError
        If none were given.
    """
    found = await find_reference(connection, version.id)
    if found is None:
        raise ReferenceNotFoundError(version.ref)
    return found


async def first_reference_rows(
    connection: AsyncConnection, version_id: int, count: int
) -> list[dict[str, Any]]:
    """The first reference rows by feature name; none if no rows were given."""
    places = [ReferenceRow.inputs[place] for place in range(count)]
    rows = await connection.execute(
        select(ReferenceRow.features, func.jsonb_build_array(*places).label("first")).where(
            ReferenceRow.version_id == version_id
        )
    )
    row = rows.one_or_none()
    if row is None:
        return []
    return [dict(zip(row.features, one, strict=True)) for one in row.first if one is not None]
