"""Open Inference Protocol 2 over REST: health, metadata, inference.

A model of the protocol is an application, or a model whose versions answer for one. Whatever way a
prediction comes, it is recorded and watched like any other.

References
----------
https://github.com/kserve/open-inference-protocol
"""

from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response, status

from serving.api.bodies import View
from serving.api.context import PredictContext, services_of
from serving.api.open_inference_bodies import blocks_of, read_request, write_answer
from serving.api.open_inference_models import NO_MODEL, ModelView, find, metadata_of
from serving.api.prediction_bodies import CONTEXT_EXPECTED, is_context
from serving.api.problems import OPEN_INFERENCE as PREFIX
from serving.api.problems import problems
from serving.errors import (
    FieldError,
    InvalidInputError,
    InvalidRequestError,
    JournalFailedError,
    JournalFullError,
    OverloadedError,
    ServingError,
    TooManyRowsError,
    shown,
)

LENGTH_HEADER = "Inference-Header-Content-Length"
EXTENSIONS = ("binary_tensor_data",)


class ServerView(View):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class LiveView(View):
    """The process answers."""

    live: bool


class ReadyView(View):
    """Whether all that is named can answer now."""

    name: str | None = None
    ready: bool


router = APIRouter(prefix=PREFIX, tags=["open inference protocol"])


@router.get("", summary="The server's name and extensions", responses=problems(public=True))
async def server() -> ServerView:
    """Say what serves here."""
    return ServerView(
        name="leadsman", version=metadata.version("leadsman"), extensions=list(EXTENSIONS)
    )


@router.get("/health/live", summary="Is the process alive", responses=problems(public=True))
async def live() -> LiveView:
    """Say that the process answers."""
    return LiveView(live=True)


def _or_not_ready(*kinds: type[ServingError], public: bool = False) -> dict[int | str, Any]:
    """Answers of a question after readiness: its 503 may say no more than that."""
    documented: dict[int | str, Any] = dict(problems(*kinds, public=public))
    said = "Something that would have to answer does not."
    documented[503] = {**documented.get(503, {}), "model": ReadyView, "description": said}
    return documented


@router.get(
    "/health/ready",
    summary="Can every route be answered",
    response_model=ReadyView,
    response_model_exclude_none=True,
    responses=_or_not_ready(public=True),
)
async def ready(request: Request, response: Response) -> ReadyView:
    """Say whether every route can be answered; `/readyz` says what is missing."""
    services = services_of(request)
    is_ready = services.in_force.restored and not services.in_force.waiting()
    if not is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ReadyView(ready=is_ready)


@router.get(
    "/models/{model}/ready",
    summary="Can a model answer",
    response_model=ReadyView,
    response_model_exclude_none=True,
    responses=_or_not_ready(*NO_MODEL),
)
@router.get(
    "/models/{model}/versions/{version}/ready",
    summary="Can one version of a model answer",
    response_model=ReadyView,
    response_model_exclude_none=True,
    responses=_or_not_ready(*NO_MODEL),
)
async def model_ready(
    model: str, response: Response, context: PredictContext, version: str | None = None
) -> ReadyView:
    """Say whether every version that may answer for the name has a replica."""
    named = find(context.services, model, version)
    if not named.is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ReadyView(name=model, ready=named.is_ready)


@router.get("/models/{model}", summary="A model's tensors", responses=problems(*NO_MODEL))
@router.get(
    "/models/{model}/versions/{version}",
    summary="The tensors of one version",
    responses=problems(*NO_MODEL),
)
async def model_metadata(
    model: str, context: PredictContext, version: str | None = None
) -> ModelView:
    """Tell the tensors of an application, or of a model whose versions answer for one.

    An input whose features are all numbers is told as one matrix; a tensor for each feature, named
    as the feature, is taken as well, and is the form where a feature is text.
    """
    return metadata_of(find(context.services, model, version))


_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}
_REQUEST = {
    "requestBody": {
        "required": True,
        "description": "JSON, or with the header `Inference-Header-Content-Length` JSON of that "
        "length and the tensors' binary data behind it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "parameters": {
                            "type": "object",
                            "description": "`binary_data_output`; all others are the context that "
                            "policies split by and the record keeps.",
                        },
                        "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
                        "outputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "parameters": {"type": "object"},
                                },
                            },
                        },
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class OutputView(View):
    """A tensor of an answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferView(View):
    """An answer; `prediction_id` among the outputs is what feedback names."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any]
    outputs: list[OutputView]


@router.post(
    "/models/{model}/infer",
    summary="Predict from tensors",
    response_model=InferView,
    openapi_extra=_REQUEST,
    responses=problems(*NO_MODEL, InvalidInputError, TooManyRowsError, JournalFullError,
                       JournalFailedError, OverloadedError),
)  # fmt: skip
@router.post(
    "/models/{model}/versions/{version}/infer",
    summary="Predict from tensors by one version",
    response_model=InferView,
    openapi_extra=_REQUEST,
    responses=problems(*NO_MODEL, InvalidInputError, TooManyRowsError, JournalFullError,
                       JournalFailedError, OverloadedError),
)  # fmt: skip
async def infer(
    model: str, request: Request, context: PredictContext, version: str | None = None
) -> Response:
    """Answer every row by the route, or by the version that the path names.

    Rows are the first dimension. One wrong value refuses the request; an answer that does not come
    by the latency objective is the application's default output, and the output `default` says so.
    """
    services = context.services
    asked = read_request(await request.body(), request.headers.get(LENGTH_HEADER))
    # Looked up after the last wait: from here to the queue is one turn of the event loop.
    named = find(services, model, version)
    counts = services.inference.count(named.route.application.name)
    if not is_context(asked.context):
        expected = CONTEXT_EXPECTED
        raise InvalidRequestError([FieldError("/parameters", expected, shown(asked.context))])
    most = services.settings.rows_limit
    if asked.rows > most:
        raise TooManyRowsError(most, asked.rows)
    try:
        blocks = blocks_of(named.route.codec, asked.tensors)
    except InvalidInputError:
        counts.errors += 1
        raise
    route = named.route.pinned(named.refs[0]) if named.pinned else named.route
    predictions = await services.inference.predict_all(route, blocks, asked.context)
    body, length = write_answer(asked, predictions, model=model, datatype=named.datatype)
    if length is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream",
                    headers={LENGTH_HEADER: str(length)})  # fmt: skip
