"""Steps of the tests that tell whether a service is well again: stretches of time, not rows.

Errors and late answers come in bursts: a replica that hangs for seconds spoils hundreds of rows,
and between two bursts hundreds are good. Taken by row such a lull looks like a recovery. So a
step is a stretch of at least `SECONDS` and of enough requests to tell; it is bad where the share
of bad requests in it is the limit or more, and the null is that at least every other one is.

Notes
-----
The null holds while the fault lasts if each stretch, given all before it, is bad with a probability
of at least a half: for independent requests whose rate is at least the limit exactly, as the median
of a binomial count is at least the whole part of its mean; for bursts, where lulls are short
against a stretch (exponential lulls of a mean of up to 1.44 `SECONDS`, however short the bursts).
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from monitor.alerts.text import number
from monitor.moments import from_micros
from monitor.records import Json

SECONDS = 60.0
"""Shortest stretch: long against what one hanging replica, one retry or one job of the minute
spoils."""
BAD_REQUESTS = 2
"""So many bad requests a stretch must be able to hold at the limit."""
HALF = 0.5
"""Share of bad stretches that is tested against."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def form_of(limit: float) -> Json:
    """How stretches are cut and judged.

    Parameters
    ----------
    limit
        Share of bad requests that is accepted, in (0, 1).
    """
    return {
        "kind": "stretches",
        "share": limit,
        "seconds": SECONDS,
        "rows": ceil(BAD_REQUESTS / limit),
    }


@dataclass(frozen=True, slots=True)
class Stretch:
    """One of them, complete or not."""

    from_us: int
    """When its first request came, microseconds since 1970."""
    rows: int
    bad: int

    def is_bad(self, share: float) -> bool:
        """Whether the share of bad requests is the limit or more."""
        return self.bad >= max(1, floor(self.rows * share + 1e-9))


def cut(form: Json, left: Stretch | None, at: Ints, bad: Floats) -> list[Stretch]:
    """Cut requests into stretches.

    Parameters
    ----------
    left
        The stretch that was not complete; none before its first request.
    at : shape (n,)
        When each request came, microseconds since 1970.
    bad : shape (n,)
        1 where a request was bad.

    Returns
    -------
    list
        The complete ones, and the last one, which may have no request yet.
    """
    latest = np.maximum.accumulate(at)
    total = np.concatenate(([0], np.cumsum(bad > 0)))
    found, place = [], 0
    while place < len(at):
        begun = left or Stretch(int(at[place]), 0, 0)
        # It ends with the first row that comes late enough and makes it large enough.
        late = int(np.searchsorted(latest, begun.from_us + round(form["seconds"] * 1e6)))
        end = max(late + 1, place + form["rows"] - begun.rows, place + 1)
        until = min(end, len(at))
        count = begun.bad + int(total[until] - total[place])
        left = Stretch(begun.from_us, begun.rows + until - place, count)
        place = until
        if end <= len(at):
            found.append(left)
            left = None
    return [*found, left or Stretch(0, 0, 0)]


def grants(alpha: float, spent: int, was_bad: bool, judged: Floats) -> tuple[Floats, int]:
    """What each step is granted, before it is looked at: something only after a good one.

    In a fault without a lull none is spent, so its end is found as soon after a day as after a
    minute. The sum over all steps is at most `alpha`.

    Parameters
    ----------
    spent
        Grants so far.
    was_bad
        Whether the step before was bad.
    judged : shape (m,)
        1 for each step that is bad.

    Returns
    -------
    shape (m,)
        The grants.
    int
        Grants so far, with these.
    """
    after_good = np.concatenate(([float(was_bad)], judged))[: len(judged)] == 0
    place = spent + np.cumsum(after_good)
    granted = np.where(after_good, alpha / (np.maximum(place, 1) * (place + 1)), 0.0)
    return granted, spent + int(after_good.sum())


def added(good: Json | None, one: Stretch) -> Json:
    """The good stretches since the last bad one, with one more."""
    good = good or {"steps": 0, "from_us": one.from_us, "rows": 0, "bad": 0}
    more = {"steps": 1, "rows": one.rows, "bad": one.bad}
    return good | {name: good[name] + count for name, count in more.items()}


def come_again(form: Json, run: Json | None, at: Ints) -> tuple[Json, bool]:
    """Whether requests have come for as long as a silence lasts that is told, without one.

    A single request after an outage may be a retry, or somebody who looks whether it is over.

    Parameters
    ----------
    form
        `pause_s` is the silence; without one the next request is enough.
    run
        `{"from_us", "last_us"}` of the requests since the last silence; none before the first.
    at : shape (n,)
        When requests came, in order, microseconds since 1970.

    Returns
    -------
    dict
        As `run`.
    bool
        Whether they have.
    """
    pause = round(form.get("pause_s", 0.0) * 1e6)
    edges = at if run is None else np.concatenate(([run["last_us"]], at))
    begun = int(at[0]) if run is None else run["from_us"]
    breaks = np.flatnonzero(np.diff(edges) > pause)
    starts = [begun, *(int(edges[one + 1]) for one in breaks)]
    ends = [*(int(edges[one]) for one in breaks), int(edges[-1])]
    again = any(end - start >= pause for start, end in zip(starts, ends, strict=True))
    return {"from_us": starts[-1], "last_us": ends[-1]}, again


def told(good: Json, over: str) -> str:
    """What showed that a fault is over.

    Parameters
    ----------
    good
        The good stretches since the last bad one: `{"steps", "from_us", "rows", "bad"}`.
    """
    share = number(good["bad"] / good["rows"], share=True)
    return (
        f"{good['steps']} stretches of at least a minute since "
        f"{from_micros(good['from_us']):%H:%M:%S} UTC, {good['rows']} requests, each show that "
        f"{over}; over all of them it is {share}"
    )
