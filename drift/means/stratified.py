"""A mean whose limit depends on the row: on the age of its label, on the hour of the week."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.engine import Factors
from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.means.bounded import MARGIN
from drift.means.reference import upper_limit
from drift.means.stakes import STAKES, mean_stakes

VALUE, STRATUM = 0, 1
"""Columns of the values: the loss in [0, 1]; the number of its stratum, from 0."""

MIN_ROWS = 50
"""Reference rows a stratum needs at least: fewer give a limit too wide to find anything."""


class StratifiedMean(BettingDetector):
    """Watch that the mean loss in each stratum stays at or below that stratum's limit.

    The stratum of a row is anything known before its loss: the age at which its label arrived, the
    hour of its week, its segment.

    Parameters
    ----------
    limits
        Largest accepted mean of each stratum, in (0, 1).
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.

    Notes
    -----
    Labels of wrong answers often come sooner (people complain) or later (people check) than those
    of right ones. In order of arrival their share then rises and falls with traffic alone: 38 times
    the false alarms allowed, in a simulation. Given the age of the label it does not: none.
    """

    name = "stratified-mean"
    assumption = (
        "The expected loss of each step, given its stratum and everything consumed before it, "
        "is at most the limit of its stratum."
    )

    def __init__(
        self,
        limits: Sequence[float],
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        if not limits:
            raise InvalidSettingError("limits", "one for each stratum", limits)
        self.limits = np.array(
            [checked_number("limit", limit, above=MARGIN, below=1.0 - MARGIN) for limit in limits]
        )
        self._stakes = np.array([mean_stakes(limit) for limit in self.limits])
        self._base = 1.0 - self._stakes * self.limits[:, None]
        super().__init__(
            {
                "limits": self.limits.tolist(),
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=STAKES,
            tiers=tiers,
            head_start=head_start,
            smallest=float(self._base.min()),
            largest=float((self._base + self._stakes).max()),
        )

    def _checked(self, values: Values) -> Values:
        """Rows of (loss, stratum), shape (n, 2)."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != 2:
            raise InvalidObservationError("values", "shape (n, 2)", f"shape {values.shape}")
        checked_values(values[:, VALUE], lower=0.0, upper=1.0)
        strata = checked_values(values[:, STRATUM], lower=0.0, upper=len(self.limits) - 1.0)
        whole = strata == np.floor(strata)
        if not whole.all():
            index = int(np.argmin(whole))
            raise InvalidObservationError("stratum", "a whole number", float(strata[index]), index)
        return values

    def _factors(self, values: Values) -> Factors:
        strata = values[:, STRATUM].astype(np.int64)
        factors: Factors = self._stakes[strata].T * values[:, VALUE]
        factors += self._base[strata].T
        return factors


def age_edges(ages: Values, strata: int) -> Values:
    """Ages that divide reference labels into about equally many, shape (at most strata - 1,).

    Parameters
    ----------
    ages : shape (n,)
        Time from prediction to label, at least 0, any unit.
    """
    ages = checked_values(ages, lower=0.0, upper=float(np.finfo(np.float64).max))
    edges: Values = np.unique(np.quantile(ages, np.arange(1, strata) / strata))
    return edges


def strata_of(ages: Values, edges: Values) -> NDArray[np.int64]:
    """Stratum of each age: the number of edges at or below it."""
    return np.searchsorted(edges, ages, side="right").astype(np.int64)


def stratum_limits(
    losses: Values,
    strata: NDArray[np.int64],
    *,
    confidence: float = 0.99,
    tolerance: float = 0.0,
) -> list[float]:
    """Limit of each stratum from a reference sample; see `drift.means.reference.upper_limit`.

    Raises
    ------
    InsufficientDataError
        If a stratum between 0 and the largest holds fewer than `MIN_ROWS` rows.
    """
    limits = []
    for stratum in range(int(strata.max()) + 1):
        chosen = losses[strata == stratum]
        if len(chosen) < MIN_ROWS:
            what = f"reference rows of stratum {stratum}"
            raise InsufficientDataError(what, MIN_ROWS, len(chosen))
        limits.append(upper_limit(chosen, confidence=confidence, tolerance=tolerance))
    return limits
