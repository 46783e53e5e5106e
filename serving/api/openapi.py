"""The OpenAPI document: complete, and the same for every error."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.api.models import Manifest
from serving.api.problems import Problem

DESCRIPTION = """Serves machine-learned models and keeps every answer.

Keys travel as `Authorization: Bearer`. Scopes: `predict`, `feedback`, `read`, and `admin`, which
holds all others. Changes take an `Idempotency-Key`. Every error is a problem of RFC 9457 with a
stable `code`.
"""

EXTRA = (Problem, Manifest)
"""Bodies that routes name without reading them by FastAPI's own means."""


def document(app: FastAPI) -> dict[str, Any]:
    """Make the document, once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in EXTRA:
            form = model.model_json_schema(ref_template="#/components/schemas/{model}")
            for name, definition in form.pop("$defs", {}).items():
                schemas.setdefault(name, definition)
            schemas.setdefault(model.__name__, form)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = made
    return app.openapi_schema
