"""A signal over any stretch of time, in as many points as a plot has room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Floats = NDArray[np.float64]

MINUTE_S, HOUR_S = 60, 3600
MOST_POINTS = 2000
"""Points of one line at most."""
LEVEL = 0.95
"""Of the intervals, each for one look at one stretch."""


@dataclass(frozen=True, slots=True)
class Line:
    """A signal of one subject; arrays of equal length, in order of time."""

    subject: str
    at: NDArray[np.int64]
    """Start of each stretch, in seconds since 1970."""
    n: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    """NaN where there are fewer than two values."""


def step_for(start: datetime, end: datetime, points: int) -> int:
    """Seconds of one stretch, so that few enough of them cover the time: whole minutes, or hours.

    Sums over minutes are read up to a day at a time and those over hours beyond, so what is read
    stays small however long the time is.
    """
    wanted = max((end - start).total_seconds() / points, MINUTE_S)
    unit = MINUTE_S if end - start <= timedelta(days=1) and wanted < HOUR_S else HOUR_S
    return int(-(-wanted // unit)) * unit


def intervals(n: NDArray[np.int64], total: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Bounds of the means: Wilson's where all values are 0 or 1, else Student's.

    Parameters
    ----------
    n, total, squares : shape (k,)
        Count, sum and sum of squares of each stretch; every count is positive.
    """
    mean = total / n
    z = float(stats.norm.isf((1 - LEVEL) / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    spread = np.maximum(mean * (1 - mean), 0.0) / n + (z / (2 * n)) ** 2
    wilson = z / (1 + z * z / n) * np.sqrt(spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.maximum(squares - n * mean * mean, 0.0) / (n - 1)
        student = stats.t.isf((1 - LEVEL) / 2, n - 1) * np.sqrt(variance / n)
    binary = squares == total
    low = np.where(binary, np.maximum(centre - wilson, 0.0), mean - student)
    high = np.where(binary, np.minimum(centre + wilson, 1.0), mean + student)
    return low, high


_BUCKETS = text("""
    SELECT subject, CAST(extract(epoch FROM at) AS bigint) / :width * :width AS start,
           sum(n) AS n, sum(total) AS total, sum(squares) AS squares
      FROM signal_summaries
     WHERE application_id = :application AND signal = :signal AND step_s = :step
       AND at >= :start AND at < :end
  GROUP BY 1, 2 ORDER BY 1, 2
""")
_SPAN = text("""
    SELECT min(at) AS first, max(at) AS last FROM signal_summaries
     WHERE application_id = :application AND step_s = 3600
       AND signal IN ('loss', 'service.default')
""")


async def read_span(
    connection: AsyncConnection, application: int
) -> tuple[datetime, datetime] | None:
    """From when to when there is anything to draw of an application; none where nothing is."""
    row = (await connection.execute(_SPAN, {"application": application})).one()
    return None if row.first is None else (row.first, row.last + timedelta(hours=1))


async def read_lines(
    connection: AsyncConnection,
    application: int,
    signal: str,
    start: datetime,
    end: datetime,
    *,
    points: int,
) -> tuple[int, list[Line]]:
    """Seconds of a stretch, and a line for each subject."""
    width = step_for(start, end, points)
    found = await connection.execute(
        _BUCKETS,
        {
            "application": application,
            "signal": signal,
            "step": MINUTE_S if width % HOUR_S else HOUR_S,
            "width": width,
            "start": start,
            "end": end,
        },
    )
    rows: dict[str, list[tuple[int, int, float, float]]] = {}
    for subject, *sums in found:
        rows.setdefault(subject, []).append((sums[0], int(sums[1]), sums[2], sums[3]))
    return width, [_line(subject, sums) for subject, sums in rows.items()]


def _line(subject: str, rows: Sequence[tuple[int, int, float, float]]) -> Line:
    columns = np.array(rows, np.float64).T
    at, n = columns[0].astype(np.int64), np.maximum(columns[1], 1).astype(np.int64)
    low, high = intervals(n, columns[2], columns[3])
    return Line(subject, at, n, columns[2] / n, low, high)


def plain(values: Floats) -> list[float | None]:
    """Numbers as JSON has them, to six digits."""
    return [
        float(f"{one:.6g}") if known else None
        for one, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]


def reference_of(parameters: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Mean of a version's reference, and the limit beyond which its watch alarms."""
    mean, limit = parameters.get("reference_mean"), parameters.get("limit")
    return (
        mean if isinstance(mean, float) else None,
        limit if isinstance(limit, float) else None,
    )
