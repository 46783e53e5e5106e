"""A limit for each hour of the week: what is usual on Monday morning is not on Sunday night."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_count, checked_number, checked_values
from drift.errors import InsufficientDataError, InvalidObservationError
from drift.means.stratified import MIN_ROWS, stratum_limits

HOURS = 168
"""Hours of a week, from Monday 0:00."""

_HOUR = 3_600.0
_MONDAY = 4 * 24
"""Hours from the epoch, a Thursday, to the first Monday after it."""

_FURTHEST = 1e15


@dataclass(frozen=True, slots=True)
class HourStrata:
    """Strata of the week for `drift.means.stratified.StratifiedMean`."""

    strata: tuple[int, ...]
    """Stratum of each of the 168 hours. Hours of few rows share one with those before or after."""
    limits: tuple[float, ...]
    """Limit of each stratum."""

    def of(self, times: Values, *, offset: float = 0.0) -> NDArray[np.int64]:
        """Stratum of each time, shape (n,); as `hours_of_week` takes them."""
        return np.array(self.strata, dtype=np.int64)[hours_of_week(times, offset=offset)]


def hours_of_week(times: Values, *, offset: float = 0.0) -> NDArray[np.int64]:
    """Hour of the week of each time, 0 to 167, from Monday 0:00.

    Parameters
    ----------
    times : shape (n,)
        Seconds since 1970-01-01 UTC.
    offset
        Seconds that local time is ahead of UTC, in [-86400, 86400]. Where the clocks change, give
        the offset of the time of year, or leave it at 0: an hour's shift twice a year is harmless
        if the limits come from both.
    """
    times = checked_values(times, lower=-_FURTHEST, upper=_FURTHEST)
    offset = checked_number("offset", offset, above=-86_400.0, below=86_400.0, inclusive=True)
    hours = np.floor((times + offset) / _HOUR).astype(np.int64)
    return (hours - _MONDAY) % HOURS


def hour_strata(
    losses: Values,
    times: Values,
    *,
    offset: float = 0.0,
    rows: int = MIN_ROWS,
    confidence: float = 0.99,
    tolerance: float = 0.0,
) -> HourStrata:
    """Limits for the hours of the week from a reference sample.

    Neighbouring hours are put together until each stratum holds `rows` rows. That looks at how many
    rows there are and never at their losses, so the limits keep their confidence.

    Parameters
    ----------
    losses, times : shape (n,)
        Reference losses in [0, 1], over whole weeks, and when each prediction was made.
    offset
        As in `hours_of_week`.
    rows
        Fewest rows of a stratum; the more, the closer its limit lies to its mean.
    confidence, tolerance
        As in `drift.means.stratified.stratum_limits`.

    Raises
    ------
    InsufficientDataError
        If there are fewer than `rows` rows in all.
    """
    losses = checked_values(losses, lower=0.0, upper=1.0)
    hours = hours_of_week(times, offset=offset)
    least = checked_count("rows", rows, least=MIN_ROWS)
    if len(hours) != len(losses):
        raise InvalidObservationError("times", f"{len(losses)} of them", len(hours))
    if len(losses) < least:
        raise InsufficientDataError("reference rows", least, len(losses))
    counts = np.bincount(hours, minlength=HOURS)
    strata, held, stratum = [], 0, 0
    for hour, count in enumerate(counts.tolist()):
        strata.append(stratum)
        held += count
        # The last stratum must not be left with fewer: it is begun only if it can be filled.
        if held >= least and counts[hour + 1 :].sum() >= least:
            held, stratum = 0, stratum + 1
    limits = stratum_limits(
        losses, np.array(strata)[hours], confidence=confidence, tolerance=tolerance
    )
    return HourStrata(tuple(strata), tuple(limits))
