"""Do labels still come? Of each stretch of time, the share of predictions that got none in time.

A stretch is judged once: when the record has gone on for the watch's horizon and a while after the
stretch ended. Labels that came later than the horizon count as not come, however they were shipped.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.moments import from_micros, to_micros
from monitor.records import Watch
from monitor.settings import Settings
from monitor.signals.base import COVERAGE, DELAY, OUTPUT, Extracted, Observations
from monitor.store.alarms import Point, add_points
from monitor.watches.watch import settings_of

LABELLED = "label.in_time"
"""Predictions of a stretch of time that got a label in time: drawn, not watched."""
GRACE = timedelta(minutes=1)
"""For labels that were received in time and shipped late."""
STRETCHES = 2_000
"""Judged in one turn at most; the rest waits for the next."""

_CLOSED = text("""
    SELECT asked.watch, o.subject, o.at, o.n, coalesce(l.n, 0) AS labelled
      FROM unnest(CAST(:watches AS int[]), CAST(:applications AS int[]),
                  CAST(:afters AS timestamptz[]), CAST(:untils AS timestamptz[]))
           AS asked (watch, application, after, until)
     CROSS JOIN LATERAL (
           SELECT * FROM signal_points p
            WHERE p.application_id = asked.application AND p.signal = :output
              AND p.at >= asked.after AND p.at < asked.until
         ORDER BY p.at, p.subject LIMIT :most) o
      LEFT JOIN signal_points l
        ON l.application_id = asked.application AND l.signal = :labelled
       AND l.subject = o.subject AND l.at = o.at
  ORDER BY asked.watch, o.at, o.subject
""")


def judged_after(watch: Watch) -> int:
    """How long after a stretch has ended it is known what labels came in time, in microseconds; 0
    of a watch of anything else."""
    if watch.signal != COVERAGE:
        return 0
    return int(settings_of(watch).horizon * 1e6) + GRACE // timedelta(microseconds=1)


async def judge(
    connection: AsyncConnection,
    watches: Sequence[Watch],
    extracted: Extracted,
    settings: Settings,
) -> dict[int, Observations]:
    """Observations of the stretches that can be judged now, by watch; of the rest nothing."""
    step = settings.series_step_us
    in_time: list[Point] = []
    asked: list[tuple[int, int, datetime, datetime]] = []
    for watch in watches:
        application = watch.application_id
        horizon = int(settings_of(watch).horizon * 1e6)
        delays = extracted.get((application, DELAY))
        if delays is not None:
            in_time += _in_time(delays, application, horizon, step)
        outputs = extracted.get((application, OUTPUT))
        if outputs is None:
            continue
        now = int(outputs.at.max())
        closed = (now - horizon - GRACE // timedelta(microseconds=1)) // step * step
        after = 0 if watch.clock is None else to_micros(watch.clock)
        if closed > after:
            asked.append((watch.id, application, from_micros(after), from_micros(closed)))
    await add_points(connection, in_time)
    if not asked:
        return {}
    columns = dict(
        zip(
            ("watches", "applications", "afters", "untils"),
            map(list, zip(*asked, strict=True)),
            strict=True,
        )
    )
    limits = {"output": OUTPUT, "labelled": LABELLED, "most": STRETCHES}
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(_CLOSED, columns | limits):
        found[row.watch].append(row)
    outputs_of = {number: extracted[application, OUTPUT] for number, application, _, _ in asked}
    return {number: _judged(rows, outputs_of[number], step) for number, rows in found.items()}


def _judged(rows: Sequence[Row[Any]], outputs: Observations, step: int) -> Observations:
    names = sorted({row.subject for row in rows})
    # Clocks stand at the end of a stretch: it is not judged again.
    at = np.array([to_micros(row.at) + step for row in rows], np.int64)
    share = [1.0 - min(row.labelled, row.n) / row.n for row in rows]
    return Observations(
        at,
        at,
        np.repeat(outputs.prediction[-1:], len(rows)),
        np.array([names.index(row.subject) for row in rows], np.int64),
        tuple(names),
        np.array(share),
        np.repeat(outputs.revision[-1:], len(rows)),
    )


def _in_time(delays: Observations, application: int, horizon: int, step: int) -> Sequence[Point]:
    delay = (delays.value * 1e6).round().astype(np.int64)
    mine = delay <= horizon
    # Where the prediction stands, not the label.
    place = (delays.at[mine] - delay[mine]) // step
    cells, count = np.unique(
        np.stack([place, delays.code[mine]], axis=1), axis=0, return_counts=True
    )
    return [
        Point(
            application,
            LABELLED,
            delays.names[code],
            from_micros(at * step),
            Sums(number, float(number), float(number)),
        )
        for (at, code), number in zip(cells.tolist(), count.tolist(), strict=True)
    ]
