"""The two versions answered different rows, dealt out by chance: is the challenger worse?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Update, Values, checked_grants, checked_number
from drift.betting import BettingDetector, plain_head_start
from drift.canary.stakes import SHARES
from drift.checkpoint import State
from drift.engine import Factors
from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError

LOSS, CHALLENGER, SHARE = 0, 1, 2
"""Columns of the values: the row's loss in [0, 1]; 1 if the challenger answered, else 0; the
probability that it would, as drawn before the answer."""

_PRIOR_LOSS, _PRIOR_ROWS = 0.5, 1.0
"""Forecast of the first loss, and the rows it counts for."""


class _RandomisedDifference(BettingDetector):
    """Estimates the difference of the two risks at each row from the one answer there is.

    With p the challenger's share and f a forecast of the loss made before it is seen,
    ``d = (loss - f) / p`` if the challenger answered and ``-(loss - f) / (1 - p)`` if the champion
    did: its expectation is the excess risk of the challenger, whatever f is. The forecast is the
    running mean of all losses; a good one makes d less noisy.
    """

    def __init__(
        self,
        settings: dict[str, object],
        *,
        bound: float,
        floor: float,
        tiers: int,
        head_start: float | Sequence[float],
    ) -> None:
        self._bound = checked_number("margin or eps", bound, above=-1.0, below=1.0)
        self.floor = checked_number("floor", floor, above=0.0, below=0.5, inclusive=True)
        if self.floor <= 0.0:
            raise InvalidSettingError("floor", "a share above 0", floor)
        self._losses = 0.0
        self._rows = 0
        # A loss and its forecast in [0, 1] keep d within 1 / floor. The range of d on the side that
        # is bet on is at most that, on the other side at least 1 once the forecast is worst.
        widest = (1.0 / self.floor + 1.0) / (1.0 - abs(self._bound))
        super().__init__(
            settings,
            stakes=len(SHARES),
            tiers=tiers,
            head_start=head_start,
            smallest=1.0 - float(SHARES[-1]),
            largest=1.0 + float(SHARES[-1]) * widest,
        )

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume rows of (loss, challenger answered, challenger's share), shape (n, 3)."""
        values = self._checked(values)
        losses = values[:, LOSS]
        total = np.add.accumulate(np.concatenate([[self._losses], losses]))
        counts = self._rows + np.arange(len(losses) + 1)
        forecasts = (total + _PRIOR_LOSS * _PRIOR_ROWS) / (counts + _PRIOR_ROWS)
        rows = np.column_stack([values, forecasts[:-1]])
        update = self._engine.advance(
            len(rows), lambda start, stop: self._factors(rows[start:stop]), grants
        )
        self._losses, self._rows = float(total[-1]), int(counts[-1])
        return update

    def _checked(self, values: Values) -> Values:
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != 3:
            raise InvalidObservationError("values", "shape (n, 3)", f"shape {values.shape}")
        if not len(values):
            raise InsufficientDataError("values", 1, 0)
        loss, answered, share = values.T
        for what, good, expected, column in (
            ("loss", (loss >= 0.0) & (loss <= 1.0), "a number in [0, 1]", loss),
            ("challenger", (answered == 0.0) | (answered == 1.0), "0 or 1", answered),
            (
                "share",
                (share >= self.floor) & (share <= 1.0 - self.floor),
                f"a probability in [{self.floor:g}, {1.0 - self.floor:g}]",
                share,
            ),
        ):
            if not good.all():
                index = int(np.argmin(good))
                raise InvalidObservationError(what, expected, float(column[index]), index)
        return values

    def _state(self) -> State:
        return [*self._engine.state(), np.array([self._losses, float(self._rows)])]

    def _load(self, state: Sequence[NDArray[np.generic]]) -> None:
        self._engine.load(state[:-1])
        self._losses, self._rows = float(state[-1][0]), int(state[-1][1])


class RandomisedExcess(_RandomisedDifference):
    """Watch that the challenger's risk exceeds the champion's by no more than a margin.

    Parameters
    ----------
    margin
        Excess risk that is accepted, in (-1, 1), such as 0.01.
    floor
        Smallest share that either version ever has, in (0, 0.5]: shares may be ramped or adaptive
        as long as each row's was recorded before its answer.
    tiers, head_start
        As in `drift.canary.paired.PairedExcess`.

    Notes
    -----
    A change of the common level does no harm. Three to five times slower than the paired form at an
    even split, and twenty times at a share of 5 %.
    """

    name = "randomised-excess"
    assumption = (
        "Each row went to the challenger with its recorded probability, and the excess risk of the "
        "challenger at each row, given that probability and all rows before, is at most the margin."
    )

    def __init__(
        self,
        margin: float,
        *,
        floor: float,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.01,
    ) -> None:
        super().__init__(
            {
                "margin": margin,
                "floor": floor,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            bound=margin,
            floor=floor,
            tiers=tiers,
            head_start=head_start,
        )

    def _factors(self, values: Values) -> Factors:
        difference, lowest, _ = differences(values)
        return 1.0 + SHARES[:, None] * ((difference - self._bound) / (self._bound - lowest))


class RandomisedPromotion(_RandomisedDifference):
    """Decide that the challenger's risk exceeds the champion's by less than `eps`.

    An alarm means "promote", as in `drift.canary.paired.PairedPromotion`, whose parameters it has.
    """

    name = "randomised-promotion"
    assumption = (
        "Each row went to the challenger with its recorded probability; if the excess risk of the "
        "challenger at each row, given that probability and all rows before, is at least eps, "
        "it is promoted with probability at most alpha."
    )

    def __init__(self, eps: float, alpha: float = 0.05, *, floor: float, tiers: int = 1) -> None:
        self.alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
        super().__init__(
            {"eps": eps, "alpha": alpha, "floor": floor, "tiers": tiers},
            bound=eps,
            floor=floor,
            tiers=tiers,
            head_start=self.alpha,
        )

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume rows; grants are checked and change nothing."""
        grants = checked_grants(grants, len(values), self._engine.tiers)
        return super().update(values, np.zeros_like(grants))

    def _factors(self, values: Values) -> Factors:
        difference, _, highest = differences(values)
        return 1.0 - SHARES[:, None] * ((difference - self._bound) / (highest - self._bound))


def differences(rows: Values) -> tuple[Values, Values, Values]:
    """Return d and the bounds it had before the loss was known, each of shape (n,).

    Parameters
    ----------
    rows : shape (n, 4)
        Loss, whether the challenger answered, its share, forecast of the loss.
    """
    loss, answered, share, forecast = rows.T
    other = 1.0 - share
    difference = (loss - forecast) * np.where(answered == 1.0, 1.0 / share, -1.0 / other)
    lowest = -np.maximum(forecast / share, (1.0 - forecast) / other)
    highest = np.maximum((1.0 - forecast) / share, forecast / other)
    return difference, lowest, highest
