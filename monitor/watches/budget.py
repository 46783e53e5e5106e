"""Who may alarm how often: a budget a year becomes grants to single observations.

A watch has one clock for all its subjects. The time that passed since the clock last moved, times
the watch's budget, is granted to whatever is observed next. So the grants of a watch add up to its
budget times the time in the record, however many versions share the traffic, and a split into turns
changes nothing. Time runs by when labels were received, never by the monitor's own clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from drift.streaming.river_adapter import NAMES as RIVER
from monitor.moments import YEAR_US, to_micros
from monitor.records import Watch
from monitor.settings import Settings, Tier

OWN_ERROR_RATE = frozenset({"paired-promotion", "randomised-promotion", "quiet", *RIVER})
"""Detectors that take nothing from a budget: they have an error rate a decision, or no
guarantee."""


Own = Mapping[Tier, float]
"""What an application allows itself; of a tier that is absent the monitor's own setting counts."""
NONE: Own = {}


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """One change of a tier's budget."""

    tier: Tier
    per_year: float | None
    """None where the monitor's own setting counts from then on."""
    at: datetime


def held_since(changes: Iterable[BudgetChange], settings: Settings, since: datetime | None) -> Own:
    """The least that each changed tier was allowed from a moment on.

    Rows that are read late were recorded under the budgets of their time. What is granted for a
    stretch is the least of these, so that no more is spent than was ever allowed.

    Parameters
    ----------
    changes
        Of one application, the oldest first.
    since
        When the stretch begins; none where only what holds now counts.
    """
    least: dict[Tier, float] = {}
    before: dict[Tier, float] = {}
    for change in changes:
        tier = change.tier
        now = settings.budget(tier) if change.per_year is None else change.per_year
        held = before.get(tier, settings.budget(tier))
        ended_before = since is None or change.at <= since
        least[tier] = now if ended_before else min(least.get(tier, held), held, now)
        before[tier] = now
    return least


def allowed(tier: Tier, settings: Settings, own: Own = NONE) -> float:
    """False alarms a year that all watches of a tier of one application may raise together."""
    return own.get(tier, settings.budget(tier))


def budgets(watches: Iterable[Watch], settings: Settings, own: Own = NONE) -> dict[int, float]:
    """False alarms a year for each enabled watch of one application.

    The budget of a tier is divided over the enabled watches of that tier: evenly, but for the
    losses, each of which gets as much as `LOSS_WEIGHT` others.
    """
    shares: dict[Tier, dict[int, float]] = {}
    for watch in watches:
        if watch.enabled and watch.detector not in OWN_ERROR_RATE:
            weight = LOSS_WEIGHT if watch.signal in LOSSES else 1.0
            shares.setdefault(watch.tier, {})[watch.id] = weight
    return {
        watch: allowed(tier, settings, own) * weight / sum(members.values())
        for tier, members in shares.items()
        for watch, weight in members.items()
    }


LOSSES = ("loss", "loss_difference", "challenger_difference")
LOSS_WEIGHT = 64.0
"""A loss comes late and is noisy, so a smaller budget costs it many rows; a feature gone missing
or a burst of default answers is plain after a few rows, and a budget of a 64th costs it a few more:
what a budget buys grows with its logarithm alone."""


def grants(
    clock: int | None,
    at: Sequence[int] | NDArray[np.int64],
    event: Sequence[int] | NDArray[np.int64],
    budget_per_year: float,
) -> tuple[NDArray[np.float64], int | None]:
    """Expected false alarms granted to each observation of one watch.

    Parameters
    ----------
    clock
        Where the watch's clock stands, in microseconds since 1970; none before its first
        observation,
        which starts the clock and is granted nothing.
    at : shape (n,)
        When each observation's label was received, in microseconds since 1970, in order of
        consumption.
    event : shape (n,)
        Observations of one event happened at one moment and share its grant evenly.
    budget_per_year
        Expected false alarms a year.

    Returns
    -------
    grants : shape (n,)
        Their sum is the budget times the time by which the clock moved.
    clock
        Where it stands now. It never goes back: a label received earlier than one before it is
        granted nothing.
    """
    if not len(at):
        return np.zeros(0), clock
    if len(at) == 1:
        # What an application that is seldom asked brings to each of its watches.
        moment = int(at[0])
        start = moment if clock is None else clock
        reached_at = max(moment, start)
        return np.array([(reached_at - start) * (budget_per_year / YEAR_US)]), reached_at
    times = np.asarray(at, np.int64)
    start = int(times[0]) if clock is None else clock
    reached = np.maximum.accumulate(np.maximum(times, start))
    elapsed = np.diff(reached, prepend=start).astype(np.float64)
    # The time that passed until an event belongs to all its observations alike; they stand
    # together.
    events = np.asarray(event)
    group = np.concatenate(([0], np.cumsum(events[1:] != events[:-1])))
    sizes = np.bincount(group)
    total = np.bincount(group, elapsed)
    return (total / sizes)[group] * (budget_per_year / YEAR_US), int(reached[-1])


def most_granted(clock: datetime | None, at: NDArray[np.int64], budget_per_year: float) -> float:
    """No less than what `grants` gives to all these observations together.

    Parameters
    ----------
    at : shape (n,)
        At least one moment, in microseconds since 1970.
    """
    start = int(at[0]) if clock is None else to_micros(clock)
    passed = max(0, int(at[0] if len(at) == 1 else at.max()) - start)
    return passed * (budget_per_year / YEAR_US) * (1.0 + ROUNDING)


ROUNDING = 1e-9
"""Relative error of a sum that is far larger than any."""
