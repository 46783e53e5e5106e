"""Parts of a signal: rows of one value of a context key, or of one stretch of a feature."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from drift.means.hours import hours_of_week
from monitor.feed.columns import Ints
from monitor.feed.join import Stretch
from monitor.records import Registry
from monitor.signals.arrivals import features_of
from monitor.signals.base import Observations

OTHER = "OTHER"
"""Value of what has no segment of its own."""


class Segments(BaseModel):
    """By what a watch divides its signal."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    by: Annotated[
        str, Field(pattern=r"^((context|feature)\.[^\x00\n]+|time\.(hour|hour_of_week))$")
    ]
    """context.KEY, feature.NAME, time.hour or time.hour_of_week: when the prediction was made."""
    edges: tuple[FiniteFloat, ...] | None = None
    """Rising inner edges of a numeric feature's bins."""
    bins: Annotated[int, Field(ge=2, le=32)] | None = None
    """Bins of about equally many reference rows; needs reference rows, where no edges are given. Of
    hours: equal stretches of the day or week, one for each hour when absent."""
    offset_hours: Annotated[float, Field(ge=-14, le=14)] = 0.0
    """Of hours: how far local time is ahead of UTC."""
    values: tuple[Annotated[str, Field(pattern=r"^[^\x00]*$")], ...] | None = None
    """Values with a segment of their own; the first that come where absent."""

    @model_validator(mode="after")
    def _consistent(self) -> "Segments":
        if self.edges is not None and list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise")
        if self.by.startswith("context.") and (self.edges or self.bins):
            raise ValueError("a context key has values, no bins")
        if self.hours is None:
            if self.offset_hours:
                raise ValueError("offset_hours is about hours")
        elif self.edges or self.values:
            raise ValueError("hours have bins, no edges and no values")
        elif self.hours % (self.bins or 1):
            raise ValueError(f"bins must divide {self.hours} hours evenly")
        return self

    @property
    def hours(self) -> int | None:
        """Hours of the day or week that is divided; none where no time is."""
        return {"time.hour": 24, "time.hour_of_week": 168}.get(self.by)

    @property
    def named(self) -> int:
        """Segments that the settings themselves tell of; 0 where they are the values that come."""
        if self.values is not None:
            return len(self.values)
        if self.edges is not None:
            return len(self.edges) + 1
        return self.bins or self.hours or 0

    @property
    def name(self) -> str:
        """Key or feature."""
        return self.by.partition(".")[2]


def divide(
    seen: Observations,
    stretch: Stretch,
    registry: Registry,
    *,
    application: int,
    by: Segments,
    edges: tuple[float, ...] | None,
) -> Observations:
    """The same observations with a subject for each segment: "3|region=EU".

    Parameters
    ----------
    edges
        Of a numeric feature; none to take its values as categories.
    """
    if seen.row is None or not len(seen):
        return seen
    texts, label = _labels(
        seen.row, stretch, registry, application=application, segments=by, edges=edges
    )
    cases, code = np.unique(seen.code * len(texts) + label, return_inverse=True)
    names = [
        f"{seen.names[case // len(texts)]}|{by.name}={texts[case % len(texts)]}"
        for case in cases.tolist()
    ]
    return replace(seen, code=code.astype(np.int64), names=tuple(names))


def units_of(seen: Observations, stretch: Stretch, unit: str) -> NDArray[np.object_]:
    """Key of the unit that each observation belongs to; a row without one is a unit of its own."""
    assert seen.row is not None
    key = unit.partition(".")[2]
    texts, code = stretch.answers.context.take(seen.row).distinct()
    told: list[str | None] = [_of_context(text, key) for text in texts]
    told.append(None)
    ids = stretch.answers.id[seen.row]
    keys = [told[number] for number in code.tolist()]
    return np.array(
        [ids[i : i + 1].tobytes().hex() if one is None else one for i, one in enumerate(keys)],
        dtype=object,
    )


def _labels(
    rows: Ints,
    stretch: Stretch,
    registry: Registry,
    *,
    application: int,
    segments: Segments,
    edges: tuple[float, ...] | None,
) -> tuple[list[str], Ints]:
    """Values of segments, and which of them each row has."""
    if segments.hours is not None:
        return hour_labels(stretch.answers.at[rows], segments)
    if segments.by.startswith("context."):
        texts, code = stretch.answers.context.take(rows).distinct()
        told = [_told(_of_context(text, segments.name), segments) for text in texts]
        return _merged([*told, OTHER], np.where(code < 0, len(texts), code))
    told, label = [OTHER], np.zeros(len(rows), np.int64)
    for mine, features, columns in features_of(stretch, registry, application, rows):
        names = [feature.name for feature in features]
        if segments.name not in names:
            continue
        column = columns.values[:, names.index(segments.name)]
        some, code = _of_values(column, columns.texts, edges, segments)
        label[mine] = code + len(told)
        told += some
    return _merged(told, label)


def hour_labels(made: Ints, segments: Segments) -> tuple[list[str], Ints]:
    """Stretches of the day or week, and in which of them each prediction was made.

    Parameters
    ----------
    made : shape (n,)
        Microseconds since 1970.
    """
    assert segments.hours is not None
    hour = hours_of_week(made / 1e6, offset=segments.offset_hours * 3600) % segments.hours
    long = segments.hours // (segments.bins or segments.hours)
    told = [_stretch(start, long, segments.hours) for start in range(0, segments.hours, long)]
    return told, hour // long


def _stretch(start: int, long: int, hours: int) -> str:
    end = start + long
    if hours == 24:
        return f"{start:02d}-{end:02d}"
    last = "" if (end - 1) // 24 == start // 24 else f"{DAYS[(end - 1) // 24]} "
    return f"{DAYS[start // 24]} {start % 24:02d}-{last}{(end - 1) % 24 + 1:02d}"


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _merged(told: list[str], label: Ints) -> tuple[list[str], Ints]:
    """The same with each value once."""
    distinct = sorted(set(told))
    place = np.array([distinct.index(one) for one in told], np.int64)
    return distinct, place[label]


def _of_values(
    column: NDArray[np.float64],
    texts: Mapping[int, str],
    edges: tuple[float, ...] | None,
    segments: Segments,
) -> tuple[list[str], Ints]:
    if edges is not None:
        told = [*(bin_name(number, edges) for number in range(len(edges) + 1)), MISSING]
        place = np.searchsorted(np.array(edges), column, side="right")
        return told, np.where(np.isnan(column), len(edges) + 1, place).astype(np.int64)
    values, code = np.unique(column, return_inverse=True)
    told = [
        MISSING if np.isnan(value) else _told(texts.get(int(value), f"{value:g}"), segments)
        for value in values.tolist()
    ]
    return told, code.astype(np.int64)


MISSING = "missing"
"""Value of a row without the feature."""


def bin_name(number: int, edges: tuple[float, ...]) -> str:
    """A bin as people read it."""
    low = "-inf" if number == 0 else f"{edges[number - 1]:g}"
    high = "inf" if number == len(edges) else f"{edges[number]:g}"
    return f"[{low},{high})"


def _told(value: str | None, segments: Segments) -> str:
    if value is None or (segments.values is not None and value not in segments.values):
        return OTHER
    return value


def _of_context(text: bytes, key: str) -> str | None:
    context = msgspec.json.decode(text)
    value = context.get(key) if isinstance(context, dict) else None
    if value is None or isinstance(value, list | dict):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
