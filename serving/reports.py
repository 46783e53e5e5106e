"""One report of a label: read from what a client sent."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from serving.errors import FieldError, shown
from serving.ids import is_prediction_id, time_of
from serving.records import Task

FUTURE_US = 60_000_000
"""How far ahead of ours a client's clock, or another serving process's, may be: one minute."""
LABEL_LIMIT = 1_000
"""Characters of a label."""

_FIELDS = {"prediction_id", "label", "observed_at"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Label = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Report:
    """A label that a client reports for a prediction."""

    prediction_id: bytes
    label: Label
    observed_at_us: int | None
    """When the true value came to be known: microseconds since 1970."""

    @property
    def label_text(self) -> bytes:
        """The label as JSON text."""
        return json.dumps(self.label, ensure_ascii=False).encode()


class ReportError(Exception):
    """A report that cannot be taken.

    Parameters
    ----------
    code
        Stable name for programs.
    field
        Which field is wrong, expected what, received what; its path begins at the report.
    """

    def __init__(self, code: str, field: FieldError) -> None:
        super().__init__(f"{field.path}: expected {field.expected}, received {field.received}.")
        self.code = code
        self.field = field


def same_label(one: Label, other: Label) -> bool:
    """Whether two labels are equal as JSON values: true is not 1, and 1.0 is."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def read_report(item: Any, now_us: int) -> Report:
    """Read one report.

    Parameters
    ----------
    item
        Parsed JSON.
    now_us
        Microseconds since 1970.

    Raises
    ------
    ReportError
        If it is not a report of a label that a prediction of ours may have.
    """
    if not isinstance(item, dict):
        raise _wrong("invalid_report", "", "an object", item)
    for name in item:
        if name not in _FIELDS:
            raise ReportError(
                "unknown_field", FieldError(f"/{name}", "no such field", shown(item[name]))
            )
    for name in ("prediction_id", "label"):
        if name not in item:
            raise ReportError("missing_field", FieldError(f"/{name}", "a value", "nothing"))
    return Report(
        prediction_id=_read_id(item["prediction_id"], now_us),
        label=_read_label(item["label"]),
        observed_at_us=_read_moment(item.get("observed_at"), now_us),
    )


def check_label(label: Label, task: Task) -> None:
    """Raise `ReportError` if an application with the task cannot have the label."""
    if task == "regression" and isinstance(label, bool | str):
        raise _wrong("invalid_label", "/label", "a number, as the task is regression", label)


def _wrong(code: str, path: str, expected: str, value: Any) -> ReportError:
    return ReportError(code, FieldError(path, expected, shown(value)))


def _read_id(value: Any, now_us: int) -> bytes:
    expected = "the id of a prediction, a UUID of version 7"
    try:
        # Python takes braces and missing dashes; an id of ours has the one usual form.
        parsed = UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        parsed = None
    if parsed is None or not is_prediction_id(parsed):
        raise _wrong("invalid_prediction_id", "/prediction_id", expected, value)
    if time_of(parsed.bytes) > now_us + FUTURE_US:
        raise _wrong(
            "prediction_in_future", "/prediction_id", "the id of a prediction already made", value
        )
    return parsed.bytes


def _read_label(value: Any) -> Label:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            if math.isfinite(float(value)):
                return value
        except OverflowError:
            pass
        raise _wrong("invalid_label", "/label", "a finite number", value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _wrong("invalid_label", "/label", "text in Unicode", value) from None
        if len(value) > LABEL_LIMIT or "\x00" in value:
            expected = f"at most {LABEL_LIMIT} characters, none of them NUL"
            raise _wrong("invalid_label", "/label", expected, value)
        return value
    raise _wrong("invalid_label", "/label", "a number, text, true or false", value)


def _read_moment(value: Any, now_us: int) -> int | None:
    if value is None:
        return None
    expected = "a moment by RFC 3339 with its offset, not in the future"
    try:
        # The standard allows a small z and t, as Python does not.
        moment = datetime.fromisoformat(value.upper()) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
            if microseconds <= now_us + FUTURE_US:
                return microseconds
    except (ValueError, OverflowError):
        pass
    raise _wrong("invalid_observed_at", "/observed_at", expected, value)
