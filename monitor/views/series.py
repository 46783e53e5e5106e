"""A signal over any stretch of time, in as many points as a plot has room for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import ROUNDING

Floats = NDArray[np.float64]

MINUTE_S, HOUR_S = 60, 3600
FINEST = timedelta(hours=2)
"""Longest time that is drawn from the finest sums, which are kept for some days only."""
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


def step_for(start: datetime, end: datetime, points: int, finest_s: int = 10) -> int:
    """Seconds of one stretch, so that few enough of them cover the time.

    The finest sums are read up to two hours at a time, those over minutes up to a day, and those
    over hours beyond: what is read stays small however long the time is.
    """
    span = end - start
    wanted = max(span.total_seconds() / points, 1)
    unit = HOUR_S
    if span <= FINEST and wanted < MINUTE_S:
        unit = finest_s
    elif span <= timedelta(days=1) and wanted < HOUR_S:
        unit = MINUTE_S
    return int(-(-wanted // unit)) * unit


def intervals(n: NDArray[np.int64], total: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Bounds of the means: Wilson's where all values are 0 or 1, else Student's.

    Wilson's has a width also where no value differs from another: none of twenty leaves 0 to 0.16.
    Other values that do not differ tell nothing of how far apart they are: no bounds, never a band
    of no width.

    Parameters
    ----------
    n, total, squares : shape (k,)
        Count, sum and sum of squares of each stretch; every count is positive.
    """
    mean = total / n
    z = -float(special.ndtri((1 - LEVEL) / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    spread = np.maximum(mean * (1 - mean), 0.0) / n + (z / (2 * n)) ** 2
    wilson = z / (1 + z * z / n) * np.sqrt(spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = squares - n * mean * mean
        variance = np.where(apart > ROUNDING * squares, apart, np.nan) / (n - 1)
        student = -special.stdtrit(n - 1, (1 - LEVEL) / 2) * np.sqrt(variance / n)
    binary = squares == total
    low = np.where(binary, np.maximum(centre - wilson, 0.0), mean - student)
    high = np.where(binary, np.minimum(centre + wilson, 1.0), mean + student)
    return low, high


_SUMS = """
    SELECT signal, subject,
           CAST(floor(extract(epoch FROM at)) AS bigint) / :width * :width AS start,
           sum(n) AS n, sum(total) AS total, sum(squares) AS squares
      FROM {table}
     WHERE application_id = :application AND signal = ANY(:signals) {step}
       AND at >= :start AND at < :end
  GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_BUCKETS = text(_SUMS.format(table="signal_summaries", step="AND step_s = :step"))
_POINTS = text(_SUMS.format(table="signal_points", step=""))
# The hours are few. The minutes of the first and of the last one tell the ends more exactly, where
# they are still kept.
_SPAN = text("""
    WITH hours AS MATERIALIZED (
         SELECT min(at) AS first, max(at) AS last FROM signal_summaries
          WHERE application_id = :application AND step_s = 3600
            AND signal IN ('loss', 'service.default'))
    SELECT h.first, h.last,
           (SELECT min(at) FROM signal_summaries
             WHERE application_id = :application AND step_s = 60
               AND signal IN ('loss', 'service.default')
               AND at >= h.first AND at < h.first + interval '1 hour') AS first_minute,
           (SELECT max(at) FROM signal_summaries
             WHERE application_id = :application AND step_s = 60
               AND signal IN ('loss', 'service.default')
               AND at >= h.last AND at < h.last + interval '1 hour') AS last_minute
      FROM hours h
""")


_ENDS = text("""
    SELECT min(at) AS first, max(at) AS last FROM signal_points
     WHERE application_id = :application AND signal IN ('loss', 'service.default')
       AND at >= :first AND at < :last
""")


async def read_span(
    connection: AsyncConnection, application: int, finest_s: int = 10
) -> tuple[datetime, datetime] | None:
    """From when to when there is anything to draw of an application; none where nothing is."""
    row = (await connection.execute(_SPAN, {"application": application})).one()
    if row.first is None:
        return None
    last = row.last_minute + timedelta(minutes=1) if row.last_minute else None
    first, last = row.first_minute or row.first, last or row.last + timedelta(hours=1)
    if last - first > FINEST:
        return first, last
    ends = {"application": application, "first": first, "last": last}
    points = (await connection.execute(_ENDS, ends)).one()
    return points.first or first, points.last + timedelta(seconds=finest_s) if points.last else last


_Sums = dict[str, dict[str, list[tuple[int, int, float, float]]]]
"""By signal and subject: start, count, sum and sum of squares of each stretch."""


async def read_lines(
    connection: AsyncConnection,
    application: int,
    signals: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    points: int,
    finest_s: int = 10,
) -> dict[str, tuple[int, list[Line]]]:
    """By signal the seconds of a stretch, and a line for each subject.

    Parameters
    ----------
    finest_s
        Seconds of the finest sums (`MONITOR_SERIES_STEP`), a whole number of at least one.
    """
    width = step_for(start, end, points, finest_s)
    wanted = {"application": application, "start": start, "end": end}
    rows: _Sums = defaultdict(lambda: defaultdict(list))
    widths = dict.fromkeys(signals, width)
    rest = list(signals)
    if width % MINUTE_S:
        _keep(rows, await connection.execute(_POINTS, wanted | {"width": width, "signals": rest}))
        # They are gone after some days, or were never so fine: the minutes tell what is left.
        rest = [signal for signal in signals if signal not in rows]
        widths |= dict.fromkeys(rest, MINUTE_S)
        width = MINUTE_S
    if rest:
        step = MINUTE_S if width % HOUR_S else HOUR_S
        wanted |= {"step": step, "width": width, "signals": rest}
        _keep(rows, await connection.execute(_BUCKETS, wanted))
    return {
        signal: (widths[signal], [_line(subject, sums) for subject, sums in rows[signal].items()])
        for signal in signals
    }


def _keep(rows: _Sums, found: Iterable[Row[Any]]) -> None:
    for row in found:
        sums = (row.start, int(row.n), row.total, row.squares)
        rows[row.signal][row.subject].append(sums)


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
