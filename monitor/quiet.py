"""Has the traffic gone quiet? Nothing arrives that could be tested, so the clock is looked at.

The rule: an application is quiet when nobody has asked it for five times as long as the longest
pause between two requests so far, at least a minute, by the monitor's own clock, and the whole
record has been read. It makes no promise: it informs. A silence of more than a day is history.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.feed.columns import id_at
from monitor.moments import from_micros, to_micros
from monitor.records import Alarm, Json, Registry, Watch, WatchState
from monitor.signals.base import SERVICE, Extracted
from monitor.store import watches as store
from monitor.watches.watch import settings_of

TIMES = 5
"""Longest pauses that make a silence."""
SHORTEST = timedelta(minutes=1)
"""No shorter pause is a silence."""
OLDEST = timedelta(days=1)
"""What has been silent for longer when the monitor looks is no news."""
AT_ONCE = 50
"""Silences that one look finds; the next one follows within a second."""
REQUESTS = 100
"""Requests from which the longest pause is learned."""

_QUIET = text("""
    SELECT s.watch_id, s.subject
      FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.detector = 'quiet' AND w.enabled AND w.failed_at IS NULL AND s.status = 'armed'
       AND w.application_id = ANY(CAST(:applications AS int[]))
       AND s.last_observed_at > CAST(:now AS timestamptz) - CAST(:oldest AS interval)
       AND NOT CAST(s.parameters ->> 'told' AS boolean)
       AND s.last_observed_at
             + CAST(s.parameters ->> 'quiet_after' AS float8) * interval '1 second'
           < CAST(:now AS timestamptz)
     ORDER BY s.watch_id
     LIMIT :most
""")


def note_requests(
    watch: Watch, state: WatchState | None, extracted: Extracted
) -> WatchState | None:
    """Take a turn's requests into account; none where there were none."""
    seen = extracted.get((watch.application_id, SERVICE))
    if seen is None:
        return None
    settings = settings_of(watch)
    at = np.sort(seen.at)
    before = state or WatchState(watch.id, "", "learning", None, {"longest": 0.0}, b"")
    last = before.last_observed_at
    edges = at if last is None else np.concatenate(([to_micros(last)], at))
    pauses = np.diff(edges) / 1e6
    longest = max(float(before.parameters["longest"]), float(pauses.max(initial=0.0)))
    count = before.observations + len(at)
    quiet = settings.quiet_after or max(TIMES * longest, SHORTEST.total_seconds())
    armed = settings.quiet_after is not None or count >= REQUESTS
    newest = int(np.argmax(seen.at))
    return replace(
        before,
        # Under the version that was first seen, whoever answers later: any split into turns keeps
        # the same state.
        subject=before.subject or seen.names[int(seen.code[0])],
        status="armed" if armed else "learning",
        status_reason=None if armed else f"learning: {count} of {REQUESTS} requests",
        parameters={
            "longest": longest,
            "quiet_after": quiet,
            "told": False,
            "prediction": str(id_at(seen.prediction, newest)),
            "answered_by": seen.names[int(seen.code[newest])],
            "unit": "request",
        },
        observations=count,
        last_observed_at=max(from_micros(int(at[-1])), last or from_micros(int(at[-1]))),
        started_at=before.started_at or from_micros(int(at[0])),
        statistic=0.0,
    )


def silences(watch: Watch, state: WatchState | None, extracted: Extracted) -> list[Alarm]:
    """Silences between requests that are past: what `find_quiet` would have told at their time.

    Parameters
    ----------
    state
        As `note_requests` left it before these requests; none before the first.
    """
    seen = extracted.get((watch.application_id, SERVICE))
    if seen is None:
        return []
    order = np.argsort(seen.at, kind="stable")
    last = None if state is None else state.last_observed_at
    edges = seen.at[order]
    before, longest = (
        (1, 0.0) if state is None else (state.observations, state.parameters["longest"])
    )
    if last is not None:
        edges = np.concatenate(([to_micros(last)], edges))
    pauses = np.diff(edges) / 1e6
    if not len(pauses):
        return []
    usual = np.maximum.accumulate(np.concatenate(([longest], pauses[:-1])))
    requests = before + np.arange(len(pauses))
    given = settings_of(watch).quiet_after
    quiet = np.maximum(TIMES * usual, SHORTEST.total_seconds())
    if given is not None:
        quiet = np.full(len(pauses), given)
    armed = (requests >= REQUESTS) | (given is not None)
    told = []
    for pause in np.flatnonzero(armed & (pauses > quiet)).tolist():
        # The request before the pause; before the first pause it is one of an earlier stretch.
        place = pause - (0 if last is None else 1)
        if place >= 0:
            row = int(order[place])
            prediction = str(id_at(seen.prediction, row))
            version = seen.names[int(seen.code[row])]
        else:
            assert state is not None
            prediction, version = state.parameters["prediction"], state.parameters["answered_by"]
        about = WatchState(
            watch.id,
            version,
            "armed",
            None,
            {
                "longest": float(usual[pause]),
                "quiet_after": float(quiet[pause]),
                "prediction": prediction,
                "answered_by": version,
                "unit": "request",
            },
            b"",
            observations=int(requests[pause]),
            last_observed_at=from_micros(int(edges[pause])),
        )
        told.append(_alarm(watch, about, from_micros(int(edges[pause + 1]))))
    return told


async def find_quiet(
    connection: AsyncConnection, registry: Registry, now: datetime
) -> list[tuple[Watch, Alarm]]:
    """Applications that have just gone quiet; each silence is told once.

    Of many at once, as when a gateway fails, some at each look: reading goes on between.
    """
    found = []
    asked = {
        "now": now,
        "oldest": OLDEST,
        "most": AT_ONCE,
        "applications": list(registry.applications),
    }
    rows = (await connection.execute(_QUIET, asked)).all()
    for number, subject in rows:
        watch = await store.read_watch(connection, number)
        state = next(
            s for s in await store.read_states(connection, [number]) if s.subject == subject
        )
        told = replace(state, alarms=state.alarms + 1, parameters=state.parameters | {"told": True})
        await store.save_states(connection, [told])
        found.append((watch, _alarm(watch, state, now)))
    return found


def _alarm(watch: Watch, state: WatchState, now: datetime) -> Alarm:
    last, quiet = state.last_observed_at, float(state.parameters["quiet_after"])
    assert last is not None
    silent = (now - last).total_seconds()
    prediction = UUID(state.parameters["prediction"])
    nothing: Json = {"mean": None, "low": None, "high": None, "steps": 0, "rows": 0, "method": None}
    evidence: Json = {
        "statistic": silent,
        "threshold": quiet,
        "promise": "No false alarm rate is promised: how long pauses may be is seasonal.",
        "guaranteed": False,
        "tier": watch.tier.value,
        "budget_per_year": None,
        "granted": 0.0,
        "assumption": "Pauses between requests stay as long as they were.",
        "signal": watch.signal,
        "segment": None,
        "detector": "quiet",
        "change": f"no request for {silent:.0f} seconds, where {quiet:.0f} are expected at most",
        "parameters": state.parameters,
        "unit": "request",
        "unit_reason": None,
        "design_effect": None,
        "observations": state.observations,
        "steps": state.observations,
        "onset": {
            "prediction_id": str(prediction),
            "at": last.isoformat(),
            "steps_ago": 0,
            "observations_ago": 0,
            "is_oldest_kept": False,
            "note": "The last request.",
        },
        "before": nothing,
        "after": nothing,
        "trace": [],
        "moved": [],
    }
    return Alarm(
        watch.id,
        watch.application_id,
        state.parameters["answered_by"],
        watch.tier,
        last + timedelta(seconds=quiet),
        state.observations,
        prediction,
        prediction,
        last,
        silent,
        quiet,
        evidence,
    )
