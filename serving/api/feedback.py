"""`/v1/feedback`: what really was."""

import json
from typing import Any, NoReturn

from fastapi import APIRouter, Request, status
from pydantic import Field

from serving.api.bodies import View
from serving.api.context import FeedbackContext
from serving.api.problems import problems
from serving.errors import (
    FieldError,
    InvalidFeedbackError,
    InvalidRequestError,
    JournalFailedError,
    JournalFullError,
    MalformedBodyError,
    TooManyRowsError,
    shown,
)

router = APIRouter(tags=["feedback"])


class RejectionView(View):
    """A report that was not taken; the others were."""

    index: int = Field(description="Its place in the request, from 0.")
    code: str = Field(
        description="invalid_report, missing_field, unknown_field, invalid_prediction_id, "
        "prediction_in_future, invalid_label or invalid_observed_at."
    )
    detail: str


class FeedbackView(View):
    """What became of the reports: each counts in exactly one place."""

    accepted: int = Field(description="Labels of predictions that had none.")
    duplicates: int = Field(description="Equal to the last label known; not recorded again.")
    corrected: int = Field(description="Different from the last label known; recorded behind it.")
    rejected: list[RejectionView]


_REPORT: dict[str, Any] = {
    "type": "object",
    "required": ["prediction_id", "label"],
    "properties": {
        "prediction_id": {"type": "string", "format": "uuid"},
        "label": {
            "type": ["boolean", "number", "string"],
            "description": "The true value; a number where the task is regression.",
        },
        "observed_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the true value came to be known.",
        },
    },
    "additionalProperties": False,
}
_ID = "019a3f5c-9d2e-7c31-8a44-5b6f0c2d1e90"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        _REPORT,
                        {
                            "type": "object",
                            "required": ["feedback"],
                            "properties": {"feedback": {"type": "array", "items": _REPORT}},
                            "additionalProperties": False,
                        },
                    ]
                },
                "examples": {
                    "one": {"value": {"prediction_id": _ID, "label": 1}},
                    "many": {"value": {"feedback": [{"prediction_id": _ID, "label": 1}]}},
                },
            }
        },
    }
}


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _read(raw: bytes) -> tuple[list[Any], bool]:
    """The reports of a body, and whether it is one alone."""
    try:
        body = json.loads(raw, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError("JSON", f"something else: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequestError([FieldError("", "an object", shown(body))])
    if "feedback" not in body:
        return [body], True
    if len(body) > 1:
        other = next(name for name in body if name != "feedback")
        wrong = FieldError(f"/{other}", "nothing beside feedback", shown(body[other]))
        raise InvalidRequestError([wrong])
    if not isinstance(body["feedback"], list):
        wrong = FieldError("/feedback", "an array", shown(body["feedback"]))
        raise InvalidRequestError([wrong])
    return body["feedback"], False


@router.post(
    "/v1/feedback",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Report the labels of predictions",
    openapi_extra=_BODY,
    responses=problems(
        InvalidFeedbackError, TooManyRowsError, JournalFullError, JournalFailedError
    ),
)
async def report_labels(request: Request, context: FeedbackContext) -> FeedbackView:
    """Record what the true values were, one or many.

    The answer comes when they are kept. A label may come late, twice, corrected, or before its
    prediction has reached the database; sending the same again is safe. Of several reports a wrong
    one is rejected by its place; one sent alone is a problem.
    """
    items, alone = _read(await request.body())
    most = context.services.settings.rows_limit
    if len(items) > most:
        raise TooManyRowsError(most, len(items))
    taken = await context.services.feedback.take(items)
    if alone and taken.rejected:
        raise InvalidFeedbackError([taken.rejected[0].field])
    return FeedbackView(
        accepted=taken.accepted,
        duplicates=taken.duplicates,
        corrected=taken.corrected,
        rejected=[
            RejectionView(index=one.index, code=one.code, detail=one.detail)
            for one in taken.rejected
        ],
    )
