"""`/v1/models`: what answers, and what normal looks like to it."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response, status

from serving.api.bodies import Name
from serving.api.context import ChangeContext, Changes, ReadContext
from serving.api.model_forms import (
    ModelsView,
    ModelView,
    ReferenceRequest,
    ReferenceView,
    VersionsView,
    VersionView,
    view,
)
from serving.api.problems import problems
from serving.api.version_uploads import UPLOAD, read_upload
from serving.artefacts import Stored
from serving.descriptions import describe
from serving.errors import (
    ArtefactUnusableError,
    FieldError,
    InvalidManifestError,
    InvalidReferenceError,
    ModelNotFoundError,
    ProbeFailedError,
    ReferenceNotFoundError,
    VersionExistsError,
    VersionFailedToStartError,
    VersionInUseError,
    VersionNotFoundError,
    shown,
)
from serving.records import Version
from serving.reference_answers import answer_reference
from serving.references import ReferenceRows, read_reference
from serving.route_states import users_of
from serving.store import models as store

log = logging.getLogger("serving.api.models")


router = APIRouter(prefix="/v1/models", tags=["models"])

ModelName = Annotated[str, Path(alias="model", description="Name of the model.")]
VersionName = Annotated[str, Path(alias="version", description="Name of the version.")]


@router.get("", summary="List the models", responses=problems())
async def list_models(context: ReadContext) -> ModelsView:
    """List every model, by name."""
    async with context.reading() as connection:
        found = await store.models(connection)
    return ModelsView(models=[ModelView(model=name, versions=count) for name, count in found])


@router.get(
    "/{model}/versions", summary="List the versions", responses=problems(ModelNotFoundError)
)
async def list_versions(model: ModelName, context: ReadContext) -> VersionsView:
    """List the versions of a model, the oldest first."""
    async with context.reading() as connection:
        found = await context.services.versions.of_model(connection, model)
    return VersionsView.model_validate({"versions": [view(one) for one in found]})


@router.get(
    "/{model}/versions/{version}",
    summary="Show a version",
    responses=problems(VersionNotFoundError),
)
async def show_version(model: ModelName, version: VersionName, context: ReadContext) -> VersionView:
    """Show a version."""
    async with context.reading() as connection:
        found = await context.services.versions.get(connection, model, version)
    progress = context.services.replicas.progress(found)
    return VersionView.model_validate(view(found) | {"progress": progress})


@router.post(
    "/{model}/versions",
    status_code=status.HTTP_201_CREATED,
    summary="Register a version",
    openapi_extra=UPLOAD,
    responses={
        200: {"model": VersionView, "description": "The same version was registered before."},
        **problems(
            InvalidManifestError, InvalidReferenceError, ArtefactUnusableError, VersionExistsError
        ),
    },
)
async def register_version(
    model: Annotated[Name, Path(description="Name of the model; made if absent.")],
    request: Request,
    response: Response,
    context: Changes,
) -> VersionView:
    """Register a version with its artefact: an upload, or a file or folder on the server's disk.

    A version never changes: registering the same artefact again is answered with 200, another one
    under the same name with 409. Nothing is started before a route names the version.
    """
    manifest, upload = await read_upload(request)
    reference = None if manifest.reference is None else _reference(manifest.reference, "/reference")
    artefacts = context.services.artefacts
    if upload is None:
        assert manifest.uri is not None
        stored = await asyncio.to_thread(artefacts.keep_uri, manifest.uri)
    else:
        name = upload.filename or ""
        stored = await asyncio.to_thread(artefacts.keep_stream, upload.file, name)
    if manifest.learn_every is not None and manifest.framework not in (None, "river"):
        raise InvalidManifestError(
            [FieldError("/learn_every", "nothing but for river", shown(manifest.learn_every))]
        )
    described = await asyncio.to_thread(
        describe, artefacts.path(stored.name), manifest.framework, manifest.entry
    )
    if reference is None and described.example:
        reference = _reference(ReferenceRequest(rows=described.example), "/reference")
    kept = manifest.model_dump(exclude_none=True, exclude={"reference"}) | described.manifest
    if stored.contents is not None:
        kept["contents"] = stored.contents
    sent = manifest.model_dump_json().encode()
    same = hashlib.sha256(context.fingerprint + sent + stored.digest.encode()).digest()
    async with context.change(same) as change:
        await store.ensure_model(change.connection, model)
        versions = context.services.versions
        found = await versions.find_any(change.connection, model, manifest.version)
        if found is not None:
            _must_be_the_same(*found, kept, stored)
            response.status_code = status.HTTP_200_OK
            made = found[0]
        else:
            made = await versions.create(
                change.connection,
                model,
                version=manifest.version,
                manifest=kept,
                digest=stored.digest,
                size_bytes=stored.size_bytes,
                artefact=stored.name,
                created_by=context.key.id,
            )
            if reference is not None:
                await _keep(change.connection, made.id, reference)
        change.answer(response.status_code or status.HTTP_201_CREATED, view(made))
    if reference is not None and reference.outputs is None and found is None:
        await _answer(context, made, reference)
    return VersionView.model_validate(view(made))


async def _answer(context: ChangeContext, made: Version, reference: ReferenceRows) -> None:
    """Let a new version answer its own reference; it is registered whether it can or not."""
    try:
        answered = await answer_reference(context.services.replicas, made, reference)
    except (VersionFailedToStartError, ProbeFailedError) as error:
        log.warning("reference_not_answered version=%s why=%s", made.ref, error.detail)
        return
    async with context.services.engine.begin() as connection:
        await _keep(connection, made.id, answered)


def _must_be_the_same(
    found: Version, deleted: bool, manifest: Mapping[str, Any], stored: Stored
) -> None:
    about = ("framework", "entry", "classes", "python", "requirements", "learn_every")
    same = all(found.manifest.get(field) == manifest.get(field) for field in about)
    if deleted or found.digest != stored.digest or not same:
        raise VersionExistsError(found.ref, found.digest, stored.digest)


@router.delete(
    "/{model}/versions/{version}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a version",
    responses=problems(VersionNotFoundError, VersionInUseError),
    response_class=Response,
)
async def delete_version(model: ModelName, version: VersionName, context: Changes) -> None:
    """Delete a version that no route and no warm revision needs. Its record stays.

    Its artefact stays as well, until `SERVING_REVISION_RETENTION` after a revision last named it.
    """
    async with context.change() as change:
        # Held against route changes under way in any process, which hold what they name.
        versions, ref = context.services.versions, f"{model}:{version}"
        found = await versions.lock(change.connection, model, version)
        keep = context.services.in_force.keep_good
        if users := await users_of(change.connection, ref, keep=keep):
            raise VersionInUseError(found.ref, users)
        await store.delete(change.connection, found.id)
        change.answer(status.HTTP_204_NO_CONTENT)


def _reference(body: ReferenceRequest, path: str = "") -> ReferenceRows:
    return read_reference(body.rows, body.labels, body.outputs, path)


async def _keep(connection: Any, version_id: int, reference: ReferenceRows) -> None:
    await store.put_reference(
        connection,
        version_id,
        features=reference.features,
        inputs=reference.inputs,
        labels=reference.labels,
        outputs=reference.outputs,
    )


@router.put(
    "/{model}/versions/{version}/reference",
    summary="Give reference rows",
    responses=problems(
        VersionNotFoundError, InvalidReferenceError, VersionFailedToStartError, ProbeFailedError
    ),
)
async def put_reference(
    model: ModelName, version: VersionName, body: ReferenceRequest, context: Changes
) -> ReferenceView:
    """Give training or validation rows as the version's reference, in place of any before.

    Rows stand in time order. Where no outputs come with them, the version is started and asked:
    its answers to rows that it was trained on are better than those it will give, so give
    validation rows or out-of-sample outputs where you can.
    """
    await context.replay()
    reference = _reference(body)
    async with context.reading() as connection:
        found = await context.services.versions.get(connection, model, version)
    if reference.outputs is None:
        reference = await answer_reference(context.services.replicas, found, reference)
    answer = ReferenceView(
        rows=len(reference.inputs),
        features=list(reference.features),
        labels=reference.labels is not None,
        outputs=reference.outputs is not None,
    )
    async with context.change() as change:
        await _keep(change.connection, found.id, reference)
        change.answer(status.HTTP_200_OK, answer.model_dump(mode="json"))
    return answer


@router.get(
    "/{model}/versions/{version}/reference",
    summary="Show reference rows",
    responses=problems(VersionNotFoundError, ReferenceNotFoundError),
)
async def show_reference(
    model: ModelName, version: VersionName, context: ReadContext
) -> ReferenceRequest:
    """Show the reference rows of a version as they were given."""
    async with context.reading() as connection:
        found = await context.services.versions.get(connection, model, version)
        kept = await store.reference(connection, found)
    rows = [dict(zip(kept.features, row, strict=True)) for row in kept.inputs]
    return ReferenceRequest(rows=rows, labels=kept.labels, outputs=kept.outputs)
