"""Has a number's distribution changed by more than is tolerated, against a training profile?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.engine import Factors
from drift.errors import InvalidSettingError
from drift.means.reference import upper_limit
from drift.ranks.numeric import LARGEST

QUANTILES = 256
"""Points that stand for the training profile."""

FORMS = ("values rose", "values fell", "values spread out", "values drew together")
"""What each of the four scores of a value's rank watches for."""

_LEAST_LIMIT = 0.01

_SHARES: NDArray[np.float64] = np.geomspace(0.05, 0.9, 8)


class TolerantRanks(BettingDetector):
    """Watch that a feature's mean rank and spread stay within limits: small drift is ignored.

    A value's rank u is its place in the training profile, from 0 to 1. Watched are the means of u,
    1 - u, |2u - 1| and 1 - |2u - 1|, each against its own limit.

    Parameters
    ----------
    quantiles
        Rising points of the training profile: see `calibrated`.
    limits
        Largest accepted mean of each of the four scores.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.

    Notes
    -----
    With a tolerance of .02 it is four to eight times slower on small shifts than
    `drift.ranks.numeric.NumericRanks`, which is its purpose.
    """

    name = "tolerant-ranks"
    assumption = (
        "The expected value of each of the four scores of a rank, given all values before it, "
        "is at most its limit."
    )

    def __init__(
        self,
        quantiles: Sequence[float],
        limits: Sequence[float],
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        self._quantiles = np.array([float(point) for point in quantiles])
        if not (
            len(self._quantiles) >= 2
            and np.isfinite(self._quantiles).all()
            and (np.diff(self._quantiles) >= 0.0).all()
        ):
            raise InvalidSettingError("quantiles", "rising finite numbers", quantiles)
        if len(limits) != len(FORMS):
            raise InvalidSettingError("limits", f"{len(FORMS)} numbers", limits)
        self._limits = np.array(
            [
                # At a limit of 1 the bets of a score stand still and only cost their quarter.
                checked_number("limit", limit, above=_LEAST_LIMIT, below=1.0, inclusive=True)
                for limit in limits
            ]
        )
        self._slopes = _SHARES[:, None] / self._limits
        largest = float((1.0 + self._slopes * (1.0 - self._limits)).max())
        super().__init__(
            {
                "quantiles": self._quantiles.tolist(),
                "limits": self._limits.tolist(),
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=self._slopes.size,
            tiers=tiers,
            head_start=head_start,
            smallest=float(1.0 - _SHARES[-1]),
            largest=largest,
        )

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=-LARGEST, upper=LARGEST)

    def _factors(self, values: Values) -> Factors:
        scores = scores_of(values, self._quantiles)
        factors: Factors = 1.0 + self._slopes[:, :, None] * (scores - self._limits[:, None])
        return factors.reshape(-1, len(values))


def form(stake: int) -> str:
    """What the leading stake of an alarm says about the change."""
    return FORMS[stake % len(FORMS)]


def scores_of(values: Values, quantiles: Values) -> Values:
    """The four scores of each value's rank, shape (4, n), in [0, 1]."""
    below = np.searchsorted(quantiles, values, side="left")
    upto = np.searchsorted(quantiles, values, side="right")
    rank = (below + upto) / (2.0 * len(quantiles))
    spread = np.abs(2.0 * rank - 1.0)
    return np.stack([rank, 1.0 - rank, spread, 1.0 - spread])


def calibrated(
    training: Values, calibration: Values, *, tolerance: float, confidence: float = 0.99
) -> tuple[list[float], list[float]]:
    """Quantiles and limits from a training profile and a separate calibration sample.

    Parameters
    ----------
    training, calibration : shape (n,), shape (m,)
        Two samples of the feature without a row in common.
    tolerance
        How far the mean of a score may move, in ranks from 0 to 1, before it counts.
    confidence
        Probability, for each of the four scores, that its limit is right.
    """
    training = checked_values(training, lower=-LARGEST, upper=LARGEST)
    calibration = checked_values(calibration, lower=-LARGEST, upper=LARGEST)
    points = np.quantile(training, (np.arange(QUANTILES) + 0.5) / QUANTILES)
    limits = [
        upper_limit(score, confidence=confidence, tolerance=tolerance)
        for score in scores_of(calibration, points)
    ]
    return points.tolist(), limits
