"""`/v1/predictions/{id}`: everything that is known of one prediction."""

import asyncio
import json
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from serving.api.bodies import View
from serving.api.context import ReadContext
from serving.api.problems import problems
from serving.batching import Outcome
from serving.copy_format import FeedbackRecord, PredictionRecord, decode_feedback
from serving.errors import PredictionNotFoundError
from serving.ids import is_prediction_id, text_of, time_of
from serving.inference import FLAG_CACHED, FLAG_DEFAULT, FLAG_SHADOW
from serving.journal import Journal
from serving.store import feedback, predictions
from serving.store.predictions import Names

router = APIRouter(tags=["predictions"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND_US = 1000
_FOREVER_US = 2**62


class AnswerView(View):
    """The answer of one version."""

    model: str | None = Field(description="None where no version was asked.")
    version: str | None
    output: Any
    scores: list[float | None] | None
    latency_ms: float
    shipped: bool = Field(description="Whether the record has reached the database.")


class LabelView(View):
    """One report of the prediction's label."""

    label: Any
    received_at: datetime
    observed_at: datetime | None
    shipped: bool = Field(description="Whether the record has reached the database.")


class TraceView(AnswerView):
    """A prediction with its shadows and its labels."""

    id: UUID
    application: str
    revision: int
    input: dict[str, Any]
    context: Any
    default: bool
    default_reason: str | None
    cached: bool
    propensity: float = Field(description="Probability with which the policy chose the version.")
    predicted_at: datetime
    shadows: list[AnswerView] = Field(description="Answers of other versions to the same input.")
    feedback: list[LabelView] = Field(description="In the order in which they came.")


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _numbers(block: bytes) -> list[float | None]:
    values = struct.unpack(f"<{len(block) // 8}d", block)
    return [value if math.isfinite(value) else None for value in values]


def _answer(record: PredictionRecord, names: Names, shipped: bool) -> dict[str, Any]:
    model, version = names.versions.get(record.version_id, (None, None))
    return {
        "model": model,
        "version": version,
        "output": None if record.output is None else json.loads(record.output),
        "scores": None if record.scores is None else _numbers(record.scores),
        "latency_ms": record.latency_us / 1000,
        "shipped": shipped,
    }


def _input(record: PredictionRecord, names: Names) -> dict[str, Any]:
    values = _numbers(record.input) if names.encoding == "float64" else json.loads(record.input)
    return dict(zip(names.features, values, strict=True))


def _labels_kept(journal: Journal, prediction_id: bytes) -> list[FeedbackRecord]:
    """Labels of a prediction that the database does not have yet."""
    return [
        record
        for rows in journal.file.find("feedback", -_FOREVER_US, _FOREVER_US)
        if prediction_id in rows
        for record in decode_feedback(rows)
        if record.prediction_id == prediction_id
    ]


@router.get(
    "/v1/predictions/{prediction_id}",
    summary="Show all that is known of a prediction",
    responses=problems(PredictionNotFoundError),
)
async def trace(prediction_id: str, context: ReadContext) -> TraceView:
    """The answer, what the shadows said, and every label that was reported.

    A prediction is found as soon as it was answered, also before it has reached the database.
    """
    try:
        id_ = UUID(prediction_id)
    except ValueError:
        raise PredictionNotFoundError(prediction_id) from None
    if not is_prediction_id(id_):
        raise PredictionNotFoundError(prediction_id)
    journal, start = context.services.journal, time_of(id_.bytes)
    # The journal first: what leaves it meanwhile is then found in the database.
    kept = await asyncio.to_thread(
        journal.find_predictions, id_.bytes, start, start + _MILLISECOND_US
    )
    kept_labels = await asyncio.to_thread(_labels_kept, journal, id_.bytes)
    async with context.reading() as connection:
        stored = await predictions.find(connection, id_.bytes)
        rows = {(one.version_id, one.flags): (one, False) for one in kept}
        rows |= {(one.version_id, one.flags): (one, True) for one in stored}
        answers = [one for one in rows.values() if not one[0].flags & FLAG_SHADOW]
        if not answers:
            raise PredictionNotFoundError(prediction_id)
        record, shipped = answers[0]
        names = await predictions.names_of(
            connection,
            record.application_id,
            record.revision,
            {one.version_id for one, _ in rows.values()},
        )
        if names is None:
            raise PredictionNotFoundError(prediction_id)
        since = predictions.moment_of(id_.bytes)
        stored_labels = await feedback.labels_of(connection, [id_.bytes], since=since)
    labels = {one.received_at: _stored_label(one) for one in stored_labels}
    for waiting in kept_labels:
        labels.setdefault(_moment(waiting.received_at_us), _kept_label(waiting))
    return TraceView(
        id=UUID(text_of(record.id)),
        application=names.application,
        revision=record.revision,
        input=_input(record, names),
        context=None if record.context is None else json.loads(record.context),
        default=bool(record.flags & FLAG_DEFAULT),
        default_reason=_reason(record),
        cached=bool(record.flags & FLAG_CACHED),
        propensity=record.propensity,
        predicted_at=_moment(record.predicted_at_us),
        shadows=[
            AnswerView(**_answer(one, names, there))
            for one, there in rows.values()
            if one.flags & FLAG_SHADOW
        ],
        feedback=[labels[moment] for moment in sorted(labels)],
        **_answer(record, names, shipped),
    )


def _reason(record: PredictionRecord) -> str | None:
    reason = record.default_reason
    return None if reason is None else Outcome(reason).name.lower()


def _stored_label(one: feedback.StoredLabel) -> LabelView:
    return LabelView(
        label=json.loads(one.label),
        received_at=one.received_at,
        observed_at=one.observed_at,
        shipped=True,
    )


def _kept_label(one: FeedbackRecord) -> LabelView:
    return LabelView(
        label=json.loads(one.label),
        received_at=_moment(one.received_at_us),
        observed_at=None if one.observed_at_us is None else _moment(one.observed_at_us),
        shipped=False,
    )
