"""The prediction route."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from serving.api.bodies import View
from serving.api.context import PredictContext
from serving.api.prediction_bodies import answer, read
from serving.api.problems import Problem, problems
from serving.errors import (
    ApplicationNotFoundError,
    BodyTooLargeError,
    DatabaseUnavailableError,
    InvalidInputError,
    JournalFailedError,
    JournalFullError,
    MalformedBodyError,
    OverloadedError,
    RouteNotFoundError,
    TooManyRowsError,
)

router = APIRouter(tags=["predictions"])


class MembersView(View):
    """Versions that were asked for one answer."""

    asked: int
    answered: int = Field(description="Those that took part by the deadline.")


class PredictionView(View):
    """One answer. Its record was kept before it left."""

    id: str = Field(description="UUID of version 7; feedback names it.")
    application: str
    revision: int = Field(description="The route's revision that answered.")
    model: str
    version: str
    output: Any = Field(description="The model's output, or the application's default output.")
    scores: list[float] | None = Field(
        default=None, description="Class probabilities in the version's order; absent without any."
    )
    default: bool = Field(description="Whether the output is the application's default.")
    default_reason: str | None = Field(
        default=None,
        description="deadline, replica_failed, no_replica or row_failed; for several "
        "versions asked together also too_few_members or low_agreement; absent where the model "
        "answered.",
    )
    members: MembersView | None = Field(
        default=None,
        description="Where an ensemble or a cascade answers; absent where one version was asked.",
    )
    agreement: float | None = Field(
        default=None,
        description="Share, by weight, of an ensemble's members that took part and say the same.",
    )
    cached: bool = Field(description="Whether the answer was kept from an equal input.")
    latency_ms: float = Field(description="From arrival until the answer was ready.")
    predicted_at: str = Field(description="Arrival of the request, RFC 3339, UTC.")


class FailedItem(View):
    """What stands in place of an answer that an input does not get."""

    error: Problem


class PredictionsView(View):
    """Answers in the order of the inputs."""

    predictions: list[PredictionView | FailedItem]


_INPUT = {
    "anyOf": [{"type": "object"}, {"type": "array"}],
    "description": "An object of named features, or an array in the order of the application's "
    "input schema.",
}
_CONTEXT = {
    "type": ["object", "null"],
    "description": "Who and where: what policies split by and the record keeps beside the input.",
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": [name],
                            "properties": {name: form, "context": _CONTEXT},
                            "additionalProperties": False,
                        }
                        for name, form in (
                            ("input", _INPUT),
                            ("inputs", {"type": "array", "minItems": 1, "items": _INPUT}),
                        )
                    ]
                },
                "examples": {
                    "one": {"value": {"input": {"age": 41, "income": 52000.0}}},
                    "many": {"value": {"inputs": [[41, 52000.0], [29, None]]}},
                },
            }
        },
    }
}


@router.post(
    "/v1/applications/{application}/predictions",
    summary="Predict for one input or several",
    response_model=PredictionView | PredictionsView,
    response_model_exclude_none=True,
    openapi_extra=_BODY,
    responses=problems(
        ApplicationNotFoundError, RouteNotFoundError, MalformedBodyError, BodyTooLargeError,
        TooManyRowsError,
        InvalidInputError, JournalFullError, JournalFailedError, DatabaseUnavailableError,
        OverloadedError,
    ),
)  # fmt: skip
async def predict(application: str, request: Request, context: PredictContext) -> Response:
    """Answer with the version that the application's route chooses.

    An answer comes by the application's latency objective: where no version gave one in time, it is
    the default output, with the reason; where more wait than can be answered by then, 503 comes at
    once. Of several inputs one that does not fit the schema has its
    error in its place.
    """
    services = context.services
    raw = await _body(request, services.settings.request_limit_bytes)
    # Looked up when all has come: what is switched from here on drains queues that get the rows.
    route = services.inference.route(application)
    with route.held():
        try:
            asked = await read(route.codec, raw, services.settings.rows_limit)
        except Exception:
            services.inference.count(application).errors += 1
            raise
        text = await answer(services.inference, route, asked)
    return Response(text, media_type="application/json")


async def _body(request: Request, limit: int) -> bytes:
    """Read a body, and stop reading where it is too long."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLargeError(limit)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLargeError(limit)
    return bytes(body)
