"""Do labels still come? Of each stretch of time, the share of predictions that got none in time.

A stretch is judged once: when the record has gone on for the watch's horizon and a while after the
stretch ended. Labels that came later than the horizon count as not come, however they were shipped.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.feed import Stretch
from monitor.moments import from_micros, to_micros
from monitor.records import Watch
from monitor.settings import Settings
from monitor.signals.base import DELAY, OUTPUT, Extracted, Observations
from monitor.store.alarms import Point, add_points
from monitor.watches import WatchSettings

LABELLED = "label.in_time"
"""Predictions of a stretch of time that got a label in time: drawn, not watched."""
GRACE = timedelta(minutes=1)
"""For labels that were received in time and shipped late."""
STRETCHES = 2_000
"""Judged in one turn at most; the rest waits for the next."""

_CLOSED = text("""
    SELECT o.subject, o.at, o.n, coalesce(l.n, 0) AS labelled
      FROM signal_points o
      LEFT JOIN signal_points l
        ON l.application_id = o.application_id AND l.signal = :labelled
       AND l.subject = o.subject AND l.at = o.at
     WHERE o.application_id = :application AND o.signal = :output
       AND o.at >= :after AND o.at < :until
  ORDER BY o.at, o.subject
     LIMIT :most
""")


async def judge(
    connection: AsyncConnection,
    watch: Watch,
    stretch: Stretch,
    extracted: Extracted,
    settings: Settings,
) -> Observations | None:
    """Observations of the stretches that can be judged now; none where there are none."""
    application, step = watch.application_id, settings.series_step_us
    horizon = int(WatchSettings.model_validate(watch.settings).horizon * 1e6)
    delays = extracted.get((application, DELAY))
    if delays is not None:
        await add_points(connection, _in_time(delays, application, horizon, step))
    outputs = extracted.get((application, OUTPUT))
    if outputs is None:
        return None
    now = int(outputs.at.max())
    closed = (now - horizon - GRACE // timedelta(microseconds=1)) // step * step
    after = None if watch.clock is None else to_micros(watch.clock)
    if after is not None and closed <= after:
        return None
    rows = (
        await connection.execute(
            _CLOSED,
            {
                "application": application,
                "output": OUTPUT,
                "labelled": LABELLED,
                "after": from_micros(after or 0),
                "until": from_micros(closed),
                "most": STRETCHES,
            },
        )
    ).all()
    if not rows:
        return None
    names = sorted({row.subject for row in rows})
    # Clocks stand at the end of a stretch: it is not judged again.
    at = np.array([to_micros(row.at) + step for row in rows], np.int64)
    share = [1.0 - min(row.labelled, row.n) / row.n for row in rows]
    last = outputs.prediction[-1:]
    return Observations(
        at,
        at,
        np.repeat(last, len(rows)),
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
