"""The body with which a version is registered: manifest and artefact, or the manifest alone."""

import json
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from serving.api.model_forms import Manifest
from serving.api.problems import field_error
from serving.errors import (
    FieldError,
    InvalidManifestError,
    MalformedBodyError,
    shown,
)
from serving.replica.framework_modules import MODULES


def _manifest(raw: Any) -> Manifest:
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        entries = [dict(one, loc=("body", *one["loc"])) for one in error.errors()]
        raise InvalidManifestError([field_error(one) for one in entries]) from error
    if manifest.framework not in (None, *MODULES):
        expected = f"one of {', '.join(MODULES)}"
        raise InvalidManifestError([FieldError("/framework", expected, shown(manifest.framework))])
    return manifest


async def read_upload(request: Request) -> tuple[Manifest, UploadFile | None]:
    """Manifest and artefact of an upload, or the manifest alone."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        form = await request.form(max_files=1, max_fields=4, max_part_size=64 * 1024**2)
        text, artefact = form.get("manifest"), form.get("artefact")
        if isinstance(text, UploadFile):
            text = (await text.read()).decode("utf-8", "replace")
        if text is None:
            raise InvalidManifestError([FieldError("/manifest", "a manifest as JSON", "nothing")])
        if not isinstance(artefact, UploadFile):
            raise InvalidManifestError([FieldError("/artefact", "an uploaded file", "nothing")])
        return _manifest(_json(text.encode())), artefact
    manifest = _manifest(_json(await request.body()))
    if manifest.uri is None:
        raise InvalidManifestError(
            [FieldError("/uri", "a uri, or an artefact as multipart/form-data", "nothing")]
        )
    return manifest, None


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError("JSON", str(error)) from error


UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["manifest", "artefact"],
                    "properties": {
                        "manifest": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/Manifest"},
                        },
                        "artefact": {
                            "type": "string",
                            "format": "binary",
                            "description": "A file, or a folder as .tar.gz (by its file name).",
                        },
                    },
                }
            },
            "application/json": {"schema": {"$ref": "#/components/schemas/Manifest"}},
        },
    }
}
