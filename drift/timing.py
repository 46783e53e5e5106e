"""Does the loss depend on when: on the age of its label, on the hour of the week?"""

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_values
from drift.errors import InsufficientDataError, InvalidObservationError

MIN_ROWS = 200
"""Fewer rows say nothing about either."""

ALPHA = 0.001
"""Probability of refusing a rollback watch although the loss does not depend on the time."""

MIN_RISE = 0.1
"""A worst stratum less than this share above the mean does no harm that a limit's margin of chance
does not cover."""


def delay_refusal(losses: Values, ages: Values, *, stratified: bool) -> str | None:
    """Return why a rollback watch may not take labels as they arrive, or None if it may.

    Kendall's rank correlation of loss and label age, and the means of ten age groups: either shows
    that wrong answers are labelled sooner or later than right ones.

    Parameters
    ----------
    losses, ages : shape (n,)
        Reference losses in [0, 1], and the time from prediction to label in any unit, at least 0.
    stratified
        Whether the watch tests the loss given the label's age.
    """
    losses, ages = _checked_pair(losses, ages, "ages")
    if stratified or (ages == ages[0]).all():
        return None
    groups = np.searchsorted(np.quantile(ages, np.arange(1, 10) / 10), ages, side="right")
    pvalue, least, most = _groups(losses, groups)
    if not np.ptp(losses):
        return None
    from scipy.stats import kendalltau  # a second of its own, so not before a watch is armed

    pvalue = min(1.0, 2.0 * min(pvalue, float(kendalltau(losses, ages).pvalue)))
    if pvalue >= ALPHA:
        return None
    return (
        f"the loss depends on how old a label is when it arrives: its mean is {least:.3f} in one "
        f"tenth of the ages and {most:.3f} in another (p = {pvalue:.1g}). Labels taken as they "
        f"arrive would raise more false alarms than promised. Configure age strata or a watermark."
    )


def season_refusal(losses: Values, hours: NDArray[np.int64], *, limit: float) -> str | None:
    """Return why a rollback watch may not use one limit for all hours, or None if it may.

    Parameters
    ----------
    losses : shape (n,)
        Reference losses in [0, 1], over several whole cycles.
    hours : shape (n,)
        Hour of the day or the week of each, from 0.
    limit
        Largest accepted mean of the watch.
    """
    losses, _ = _checked_pair(losses, np.asarray(hours, dtype=np.float64), "hours")
    pvalue, _, most = _groups(losses, np.asarray(hours))
    if pvalue >= ALPHA or most <= limit or most <= (1.0 + MIN_RISE) * losses.mean():
        return None
    return (
        f"the loss follows the hour: its mean is {most:.3f} in the worst one and "
        f"{losses.mean():.3f} over all, where {limit:.3f} is accepted (p = {pvalue:.1g}). "
        f"Configure hour strata, blocks of whole cycles, or a limit for the worst hour."
    )


def _groups(losses: Values, groups: NDArray[np.int64]) -> tuple[float, float, float]:
    """Kruskal-Wallis p-value, and the least and the greatest mean of a group of 20 or more."""
    parts = [losses[groups == group] for group in np.unique(groups)]
    parts = [part for part in parts if len(part) >= 20]
    means = [float(part.mean()) for part in parts]
    if len(parts) < 2 or not np.ptp(np.concatenate(parts)):
        return 1.0, min(means, default=0.0), max(means, default=0.0)
    from scipy.stats import kruskal

    return float(kruskal(*parts).pvalue), min(means), max(means)


def _checked_pair(losses: Values, other: Values, what: str) -> tuple[Values, Values]:
    losses = checked_values(losses, lower=0.0, upper=1.0)
    other = checked_values(other, lower=0.0, upper=float(np.finfo(np.float64).max))
    if len(other) != len(losses):
        raise InvalidObservationError(what, f"{len(losses)} of them", len(other))
    if len(losses) < MIN_ROWS:
        raise InsufficientDataError("reference rows", MIN_ROWS, len(losses))
    return losses, other
