"""Records for tests: arbitrary ones for laws, plain ones for counting."""

import struct
from dataclasses import astuple

from hypothesis import strategies as st

from serving.copy_format import (
    FeedbackRecord,
    PredictionRecord,
    encode_feedback,
    encode_prediction,
)
from serving.ids import new_prediction_id

NOW_US = 1_795_471_940_123_456
"""A day whose partitions a test makes: 2026-11-23."""

INT4 = st.integers(-(2**31), 2**31 - 1)
INT2 = st.integers(-(2**15), 2**15 - 1)
MOMENTS = st.integers(NOW_US - 3 * 86_400_000_000, NOW_US + 3 * 86_400_000_000)
BLOCKS = st.binary(max_size=200)
CONTEXTS = st.none() | st.sampled_from(
    [b"{}", b'{"customer":"\xc3\xa9"}', b'{"hour":7,"x":[1,2.5,null,true]}', b'"text"']
)


def as_float4(value: float) -> float:
    """Round to the precision of the column."""
    return float(struct.unpack("!f", struct.pack("!f", value))[0])


def prediction_rows(
    moments: st.SearchStrategy[int] = MOMENTS,
) -> st.SearchStrategy[PredictionRecord]:
    """Any row of `predictions`."""
    return st.builds(
        PredictionRecord,
        predicted_at_us=moments,
        id=st.binary(min_size=16, max_size=16),
        version_id=INT4,
        application_id=INT4,
        revision=INT4,
        flags=INT2,
        default_reason=st.none() | INT2,
        latency_us=st.integers(0, 2**31 - 1),
        propensity=st.floats(0, 1, width=32),
        input=BLOCKS,
        output=st.none() | BLOCKS,
        scores=st.none() | BLOCKS,
        context=CONTEXTS,
    )


def feedback_rows(moments: st.SearchStrategy[int] = MOMENTS) -> st.SearchStrategy[FeedbackRecord]:
    """Any row of `feedback`."""
    return st.builds(
        FeedbackRecord,
        received_at_us=moments,
        id=st.binary(min_size=16, max_size=16),
        prediction_id=st.binary(min_size=16, max_size=16),
        label=BLOCKS,
        observed_at_us=st.none() | MOMENTS,
    )


def encoded(record: PredictionRecord | FeedbackRecord) -> bytes:
    """Encode a record as the journal keeps it."""
    fields = astuple(record)
    return (
        encode_prediction(*fields)
        if isinstance(record, PredictionRecord)
        else encode_feedback(*fields)
    )


def plain_prediction(
    now_us: int = NOW_US,
    *,
    prediction_id: bytes | None = None,
    version_id: int = 1,
    application_id: int = 1,
    revision: int = 1,
    flags: int = 0,
    values: tuple[float, ...] = (1.0, 2.0),
    output: bytes = b"1",
    context: bytes | None = None,
) -> PredictionRecord:
    """Make a prediction that arrived at a moment."""
    return PredictionRecord(
        predicted_at_us=now_us,
        id=prediction_id or new_prediction_id(now_us),
        version_id=version_id,
        application_id=application_id,
        revision=revision,
        flags=flags,
        default_reason=None,
        latency_us=1234,
        propensity=1.0,
        input=struct.pack(f"<{len(values)}d", *values),
        output=output,
        scores=None,
        context=context,
    )
