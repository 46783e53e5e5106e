"""Means of values that stay near their limit: differences, ratios, gaps of calibration."""

from collections.abc import Sequence

import numpy as np

from drift.base import Values, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.canary.stakes import SHARES
from drift.engine import Factors
from drift.errors import InvalidSettingError


class SignedMean(BettingDetector):
    """Watch that the mean of a quantity on both sides of its limit stays at or below it.

    Like `drift.means.bounded.BoundedMean`, with stakes from very gentle to bold: made for values
    whose spread around the limit is unknown. The factor is ``1 + f (x - limit) / (limit - lower)``.

    Parameters
    ----------
    limit
        Largest mean that is accepted, between `lower` and `upper`.
    lower, upper
        Range of the values.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.
    """

    name = "signed-mean"
    assumption = (
        "The expected value of each step, given everything consumed before it, "
        "is at most the limit."
    )

    def __init__(
        self,
        limit: float,
        *,
        lower: float = -1.0,
        upper: float = 1.0,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        infinite = float("inf")
        self.lower = checked_number("lower", lower, above=-infinite, below=infinite)
        self.upper = checked_number("upper", upper, above=self.lower, below=infinite)
        self.limit = checked_number("limit", limit, above=self.lower, below=self.upper)
        self._slope = (SHARES / (self.limit - self.lower))[:, None]
        self._base = 1.0 - self._slope * self.limit
        super().__init__(
            {
                "limit": self.limit,
                "lower": self.lower,
                "upper": self.upper,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=len(SHARES),
            tiers=tiers,
            head_start=head_start,
            smallest=1.0 - float(SHARES[-1]),
            largest=1.0 + float(self._slope[-1, 0]) * (self.upper - self.limit),
        )

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=self.lower, upper=self.upper)

    def _factors(self, values: Values) -> Factors:
        factors: Factors = self._slope * values
        factors += self._base
        return factors


class TwoSidedMean(BettingDetector):
    """Watch that a mean stays between two limits.

    For calibration feed ``label - predicted probability``, in [-1, 1], with limits -margin and
    margin: of all rows, or of those whose prediction falls into one bucket.

    Parameters
    ----------
    least, most
        Smallest and largest mean that are accepted; lower < least <= most < upper.
    lower, upper
        Range of the values.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`, for both sides together.
    """

    name = "two-sided-mean"
    assumption = (
        "The expected value of each step, given everything consumed before it, "
        "lies between the two limits."
    )

    def __init__(
        self,
        least: float,
        most: float,
        *,
        lower: float = -1.0,
        upper: float = 1.0,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        infinite = float("inf")
        self.lower = checked_number("lower", lower, above=-infinite, below=infinite)
        self.upper = checked_number("upper", upper, above=self.lower, below=infinite)
        self.least = checked_number("least", least, above=self.lower, below=self.upper)
        self.most = checked_number("most", most, above=self.lower, below=self.upper)
        if self.least > self.most:
            raise InvalidSettingError("least", f"at most {self.most:g}", least)
        above = SHARES / (self.most - self.lower)
        below = -SHARES / (self.upper - self.least)
        self._slope = np.concatenate([above, below])[:, None]
        limits = np.repeat([self.most, self.least], len(SHARES))[:, None]
        self._base = 1.0 - self._slope * limits
        ends = self._slope * np.array([self.lower, self.upper]) + self._base
        super().__init__(
            {
                "least": self.least,
                "most": self.most,
                "lower": self.lower,
                "upper": self.upper,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=2 * len(SHARES),
            tiers=tiers,
            head_start=head_start,
            smallest=float(ends.min()),
            largest=float(ends.max()),
        )

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=self.lower, upper=self.upper)

    def _factors(self, values: Values) -> Factors:
        factors: Factors = self._slope * values
        factors += self._base
        return factors


def rose(stake: int) -> bool:
    """Whether the leading stake of an alarm of `TwoSidedMean` says that the mean rose."""
    return stake < len(SHARES)
