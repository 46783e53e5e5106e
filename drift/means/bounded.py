"""Has the mean of a bounded loss risen above its limit?"""

from collections.abc import Sequence

from drift.base import Harmless, Values, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.engine import Factors
from drift.errors import InvalidSettingError
from drift.means.stakes import mean_stakes


class BoundedMean(BettingDetector):
    """Watch that the mean of a bounded quantity stays at or below a limit.

    Parameters
    ----------
    limit
        Largest mean that is accepted, strictly between `lower` and `upper`: a contract's figure, or
        `drift.means.reference.upper_limit` of a reference sample. A sample's plain mean is not a
        limit: taken as one, a reference of 200 rows raised 209 times the false alarms allowed.
    lower, upper
        Range of the values, in the loss's unit.
    averaged
        Whether the values are means of blocks or units: bolder stakes find a rise sooner then.
    tiers
        Number of budgets served.
    head_start
        False alarms granted once at the start, one or one a tier.

    Notes
    -----
    Watch "too low" by feeding the negated values. For 0/1 losses each stake is the likelihood ratio
    of one error rate. 8 floats a tier; about 0.1 µs a row.
    """

    name = "bounded-mean"
    assumption = (
        "The expected loss of each step, given everything consumed before it, is at most the limit."
    )

    def __init__(
        self,
        limit: float,
        *,
        lower: float = 0.0,
        upper: float = 1.0,
        averaged: bool = False,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        largest = float("inf")
        self.lower = checked_number("lower", lower, above=-largest, below=largest)
        self.upper = checked_number("upper", upper, above=self.lower, below=largest)
        self.limit = checked_number("limit", limit, above=self.lower, below=self.upper)
        self._scale = 1.0 / (self.upper - self.lower)
        scaled = (self.limit - self.lower) * self._scale
        if not MARGIN < scaled < 1.0 - MARGIN:
            raise InvalidSettingError("limit", f"at least {MARGIN:g} of the range inside it", limit)
        self.stakes = mean_stakes(scaled, averaged=averaged)
        """Bets a unit of the scaled loss, rising."""
        self._slope = (self.stakes * self._scale)[:, None]
        self._base = 1.0 - self._slope * (self.limit - self.lower)
        super().__init__(
            {
                "limit": self.limit,
                "lower": self.lower,
                "upper": self.upper,
                "averaged": bool(averaged),
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=len(self.stakes),
            tiers=tiers,
            head_start=head_start,
            smallest=1.0 - self.stakes[-1] * scaled,
            largest=1.0 + self.stakes[-1] * (1.0 - scaled),
        )

    @property
    def harmless(self) -> Harmless:
        """Below the limit every stake loses; a hair below it also after rounding."""
        return Harmless(self.limit - MARGIN * (self.upper - self.lower), 1.0)

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=self.lower, upper=self.upper)

    def _factors(self, values: Values) -> Factors:
        factors: Factors = self._slope * (values - self.lower)
        factors += self._base
        return factors


MARGIN = 1e-9
"""A limit closer to either end than this share of the range leaves nothing to watch."""
