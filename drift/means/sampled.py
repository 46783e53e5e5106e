"""A mean of all rows, of which only some are labelled, each with a known probability."""

from collections.abc import Sequence

import numpy as np

from drift.base import Values, checked_number
from drift.betting import BettingDetector, plain_head_start
from drift.engine import Factors
from drift.errors import InsufficientDataError, InvalidObservationError
from drift.means.stakes import mean_stakes

LOSS, LABELLED, PROBABILITY, FORECAST = 0, 1, 2, 3
"""Columns of the values: loss in [0, 1], anything where there is no label; 1 if labelled, else 0;
probability of being labelled, set before; forecast of the loss, made before."""

STAKES = 10
"""More than for a plain mean: how noisy x is depends on the labelling."""

_BOLDEST = 0.95
"""Largest share of its wealth that a stake may lose at one row."""

_DEPTH = 1.0
"""An unlabelled row may pull x down to minus this; a forecast that would go lower is cut."""


class SampledMean(BettingDetector):
    """Watch that the mean loss of all rows is at most a limit, from the labelled ones.

    A row counts as ``x = forecast + (loss - forecast) / probability`` if it was labelled, else as
    its forecast. The expectation of x is that of the loss, however wrong the forecast is: a good
    one makes x less noisy, and labelling doubtful rows more often than others does too.

    Parameters
    ----------
    limit
        Largest mean loss that is accepted, in (0, 1).
    floor
        Smallest probability of a label, in (0, 1].
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.

    Notes
    -----
    With 2 % of rows labelled, choosing them by their forecast and using it found a rise of the
    error rate after 3,515 requests (2,303 where the inputs drifted), labelled rows alone after
    4,043 (4,065), in a prototype.

    References
    ----------
    D. Csillag et al., "Prediction-powered e-values", ICML 2025.
    """

    name = "sampled-mean"
    assumption = (
        "Each row was labelled with its recorded probability, and the expected loss of each row, "
        "labelled or not, given all rows before it, is at most the limit."
    )

    def __init__(
        self,
        limit: float,
        *,
        floor: float,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        self.limit = checked_number("limit", limit, above=1e-6, below=1.0)
        self.floor = checked_number("floor", floor, above=1e-6, below=1.0, inclusive=True)
        rates = mean_stakes(self.limit)
        # The stakes must not depend on a row's own probability or forecast: these know of the row
        # what the promise averages over, and rows of high risk would be bet on more than others.
        boldest = min(float(rates[-1]), _BOLDEST / (self.limit + _DEPTH))
        gentlest = min(float(rates[0]), boldest) * self.floor
        self._stakes = np.geomspace(gentlest, boldest, STAKES)[:, None]
        super().__init__(
            {
                "limit": self.limit,
                "floor": self.floor,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=STAKES,
            tiers=tiers,
            head_start=head_start,
            smallest=1.0 - _BOLDEST,
            largest=1.0 + boldest / self.floor,
        )

    def _checked(self, values: Values) -> Values:
        """Rows of (loss, labelled, probability, forecast), shape (n, 4)."""
        values = np.array(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != 4:
            raise InvalidObservationError("values", "shape (n, 4)", f"shape {values.shape}")
        if not len(values):
            raise InsufficientDataError("values", 1, 0)
        loss, labelled, probability, forecast = values.T
        unlabelled = labelled == 0.0
        for what, good, expected, column in (
            ("labelled", unlabelled | (labelled == 1.0), "0 or 1", labelled),
            ("loss", unlabelled | ((loss >= 0.0) & (loss <= 1.0)), "a number in [0, 1]", loss),
            (
                "probability",
                (probability >= self.floor) & (probability <= 1.0),
                f"a number in [{self.floor:g}, 1]",
                probability,
            ),
            ("forecast", (forecast >= 0.0) & (forecast <= 1.0), "a number in [0, 1]", forecast),
        ):
            if not good.all():
                index = int(np.argmin(good))
                raise InvalidObservationError(what, expected, float(column[index]), index)
        values[unlabelled, LOSS] = 0.0
        return values

    def _factors(self, values: Values) -> Factors:
        loss, labelled, probability, forecast = values.T
        weight = 1.0 / probability
        with np.errstate(divide="ignore"):
            forecast = np.minimum(forecast, _DEPTH / (weight - 1.0))
        observed = forecast + labelled * (loss - forecast) * weight
        factors: Factors = 1.0 + self._stakes * (observed - self.limit)
        return factors
