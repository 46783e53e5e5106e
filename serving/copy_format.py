"""Records as rows of Postgres' binary COPY: the one form from the answer to the table.

A row is encoded once, when it is answered or reported. The journal keeps these bytes, and shipping
sends them between `HEADER` and `TRAILER` as they are.

References
----------
PostgreSQL documentation, COPY, "Binary Format".
"""

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)

PREDICTION_COLUMNS = (
    "predicted_at",
    "id",
    "version_id",
    "application_id",
    "revision",
    "flags",
    "default_reason",
    "latency_us",
    "propensity",
    "input",
    "output",
    "scores",
    "context",
)
FEEDBACK_COLUMNS = ("received_at", "id", "prediction_id", "label", "observed_at")

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: where Postgres counts from."""
MAX_INT4 = 2**31 - 1

_JSONB_VERSION = b"\x01"
_UNFIT_FOR_JSONB = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes that JSON allows and jsonb may refuse: NUL, and a surrogate that may stand alone."""
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")

_PREDICTION_HEAD = struct.Struct("!hiqi16siiiiiiih")
_FEEDBACK_HEAD = struct.Struct("!hiqi16si16s")
_REASON = struct.Struct("!ih")
_NUMBERS = struct.Struct("!iiif")
_LENGTH = struct.Struct("!i")
_TIME = struct.Struct("!iq")
_NULL = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """A row of `predictions`, without its shipment."""

    predicted_at_us: int
    """Microseconds since 1970, UTC."""
    id: bytes
    version_id: int
    application_id: int
    revision: int
    flags: int
    default_reason: int | None
    latency_us: int
    propensity: float
    input: bytes
    output: bytes | None
    scores: bytes | None
    context: bytes | None
    """JSON text."""


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """A row of `feedback`, without its shipment."""

    received_at_us: int
    """Microseconds since 1970, UTC."""
    id: bytes
    prediction_id: bytes
    label: bytes
    """JSON text."""
    observed_at_us: int | None


def _field(value: bytes | None) -> bytes:
    return _NULL if value is None else _LENGTH.pack(len(value)) + value


def _fit_for_jsonb(text: bytes) -> bytes:
    """JSON text that jsonb takes: characters that no Postgres text can hold become U+FFFD."""
    if _UNFIT_FOR_JSONB.search(text) is None:
        return text
    # Only a parser can tell an escape from a backslash that is itself escaped before `u0000`.
    # Dumped without escapes a pair of surrogates is one character, and one alone is not encodable.
    parsed = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    whole = parsed.encode("utf-8", "replace")
    return _NUL.sub(lambda found: found[1] + "\ufffd".encode(), whole)


def encode_prediction(  # noqa: PLR0917  (a call by keywords costs a tenth of the encoding)
    predicted_at_us: int,
    prediction_id: bytes,
    version_id: int,
    application_id: int,
    revision: int,
    flags: int,
    default_reason: int | None,
    latency_us: int,
    propensity: float,
    input_block: bytes,
    output: bytes | None,
    scores: bytes | None,
    context: bytes | None,
) -> bytes:
    """Encode one row of `predictions`; the parameters are its columns.

    Parameters
    ----------
    predicted_at_us
        Microseconds since 1970, UTC.
    prediction_id : 16 bytes
    latency_us
        More than an int4 holds (36 minutes) is told as that.
    output, context
        JSON text, UTF-8.
    scores
        Little-endian float64.
    """
    head = _PREDICTION_HEAD.pack(
        13,
        8,
        predicted_at_us - POSTGRES_EPOCH_US,
        16,
        prediction_id,
        4,
        version_id,
        4,
        application_id,
        4,
        revision,
        2,
        flags,
    )
    return b"".join(
        (
            head,
            _NULL if default_reason is None else _REASON.pack(2, default_reason),
            _NUMBERS.pack(4, latency_us if latency_us < MAX_INT4 else MAX_INT4, 4, propensity),
            _LENGTH.pack(len(input_block)),
            input_block,
            _field(output),
            _field(scores),
            _NULL if context is None else _field(_JSONB_VERSION + _fit_for_jsonb(context)),
        )
    )


def encode_feedback(
    received_at_us: int,
    feedback_id: bytes,
    prediction_id: bytes,
    label: bytes,
    observed_at_us: int | None,
) -> bytes:
    """Encode one row of `feedback`; the parameters are its columns.

    Parameters
    ----------
    received_at_us, observed_at_us
        Microseconds since 1970, UTC.
    feedback_id, prediction_id : 16 bytes
    label
        JSON text, UTF-8.
    """
    head = _FEEDBACK_HEAD.pack(
        5, 8, received_at_us - POSTGRES_EPOCH_US, 16, feedback_id, 16, prediction_id
    )
    observed = (
        _NULL if observed_at_us is None else _TIME.pack(8, observed_at_us - POSTGRES_EPOCH_US)
    )
    return head + _field(label) + observed


def split_rows(rows: bytes) -> Iterator[tuple[bytes, list[bytes | None]]]:
    """Take encoded rows apart.

    Yields
    ------
    tuple
        The row's own bytes, and its fields' bytes, None for NULL.
    """
    position = 0
    while position < len(rows):
        start = position
        (count,) = struct.unpack_from("!h", rows, position)
        position += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(rows, position)
            position += 4
            fields.append(None if length < 0 else rows[position : position + length])
            position += max(length, 0)
        yield rows[start:position], fields


def _integer(field: bytes | None) -> int:
    assert field is not None
    return int.from_bytes(field, "big", signed=True)


def _present(field: bytes | None) -> bytes:
    assert field is not None
    return field


def decode_predictions(rows: bytes) -> Iterator[PredictionRecord]:
    """Read rows that `encode_prediction` made, one after the other."""
    for _, fields in split_rows(rows):
        at, id_, version, application, revision, flags, reason, latency, propensity = fields[:9]
        block, output, scores, context = fields[9:]
        yield PredictionRecord(
            predicted_at_us=_integer(at) + POSTGRES_EPOCH_US,
            id=_present(id_),
            version_id=_integer(version),
            application_id=_integer(application),
            revision=_integer(revision),
            flags=_integer(flags),
            default_reason=None if reason is None else _integer(reason),
            latency_us=_integer(latency),
            propensity=struct.unpack("!f", _present(propensity))[0],
            input=_present(block),
            output=output,
            scores=scores,
            context=None if context is None else context[1:],
        )


def decode_feedback(rows: bytes) -> Iterator[FeedbackRecord]:
    """Read rows that `encode_feedback` made, one after the other."""
    for _, (received, id_, prediction, label, observed) in split_rows(rows):
        yield FeedbackRecord(
            received_at_us=_integer(received) + POSTGRES_EPOCH_US,
            id=_present(id_),
            prediction_id=_present(prediction),
            label=_present(label),
            observed_at_us=None if observed is None else _integer(observed) + POSTGRES_EPOCH_US,
        )
