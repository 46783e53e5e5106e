"""The OpenAPI document: complete, and the same for every error."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.api.model_forms import Manifest
from serving.api.problems import Problem, problems_of
from serving.errors import IdempotencyKeyReusedError

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
        _say_what_repeated_keys_are_told(made)
        app.openapi_schema = made
    return app.openapi_schema


def _say_what_repeated_keys_are_told(made: dict[str, Any]) -> None:
    """Every change takes an Idempotency-Key, and refuses one that was used otherwise."""
    [(status, told)] = problems_of(IdempotencyKeyReusedError).items()
    for path in made["paths"].values():
        for operation in path.values():
            names = {one["name"].lower() for one in operation.get("parameters", ())}
            if "idempotency-key" not in names:
                continue
            known = operation["responses"].setdefault(str(status), dict(told))
            if IdempotencyKeyReusedError.code not in known["description"]:
                known["description"] += " " + told["description"]
