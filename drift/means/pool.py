"""Has an error rate risen, when nobody knows what it was? Each error is ranked among all before."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Harmless, Update, Values, checked_count, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.checkpoint import State
from drift.engine import Factors
from drift.errors import InvalidObservationError
from drift.means.stakes import mean_stakes

_OUTPUTS_A_BLOCK = 4
"""Uniform numbers that Philox makes from one value of its counter."""


def uniforms(seed: int, start: int, count: int) -> Values:
    """Numbers in [0, 1) that depend on the seed and each step's index alone.

    So a replay draws the same numbers, however the steps were split into calls.
    """
    skip = start % _OUTPUTS_A_BLOCK
    source = np.random.Philox(key=seed).advance(start // _OUTPUTS_A_BLOCK)
    return np.random.Generator(source).random(skip + count)[skip:]


class GrowingPool(BettingDetector):
    """Watch a 0/1 stream for a rise against all of its own past, with no reference number.

    Each step gets a conformal p-value: with f the share of errors so far, itself included, uniform
    below f after an error and above f otherwise. While nothing changes these are independent and
    uniform, whatever the rate is; more errors push them down, and ``p <= centre`` is bet on.

    Parameters
    ----------
    centre
        Where to look for small p-values, in (0, 1): a guess of the error rate from *other* data. A
        guess off by a fifth costs 10 to 30 % of delay and never the promise.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`.
    seed
        Whole number that fixes the tie-breaking draws.

    Notes
    -----
    After a change the pool takes in the new rate, so what is not found within some thousand labels
    is never found, and slow ramps are found late: watch a limit beside it where there is one. An
    alarm keeps the pool; it restarts the evidence only.

    References
    ----------
    V. Vovk, I. Nouretdinov, A. Gammerman, "Conformal testing: binary case with Markov
    alternatives", COPA 2022; V. Vovk et al., "Retrain or not retrain: conformal test martingales
    for change-point detection", COPA 2021.
    """

    name = "growing-pool"
    assumption = (
        "The stream is exchangeable: any order of the same values would have been equally likely."
    )

    def __init__(
        self,
        centre: float,
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        self.centre = checked_number("centre", centre, above=1e-6, below=1.0 - 1e-6)
        self._seed = checked_count("seed", seed, least=0)
        self._errors = 0
        stakes = mean_stakes(self.centre)
        self._hit = 1.0 + stakes * (1.0 - self.centre)
        self._miss = 1.0 - stakes * self.centre
        super().__init__(
            {
                "centre": self.centre,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
                "seed": self._seed,
            },
            stakes=len(stakes),
            tiers=tiers,
            head_start=head_start,
            smallest=float(self._miss[-1]),
            largest=float(self._hit[-1]),
        )

    @property
    def errors(self) -> int:
        """Errors in the pool, of `steps` values."""
        return self._errors

    @property
    def harmless(self) -> Harmless:
        """What is no error; where errors are rarer than was guessed, its draw may win a bet."""
        return Harmless(0.0, float(self._hit[-1]))

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume 0/1 values, 1 for an error; see `drift.base.Detector.update`."""
        values = self._checked(values)
        ranks = self.pvalues(values)
        update = self._engine.advance(
            len(values), lambda start, stop: self._factors(ranks[start:stop]), grants
        )
        self._errors += int(values.sum())
        return update

    def pvalues(self, values: Values) -> Values:
        """P-values of the next values, against the pool as it grows; the state stays as it is."""
        errors = self._errors + np.cumsum(values)
        share = errors / (self.steps + np.arange(1, len(values) + 1))
        draw = uniforms(self._seed, self.steps, len(values))
        return np.where(values == 1.0, share * draw, share + (1.0 - share) * draw)

    def _checked(self, values: Values) -> Values:
        values = checked_values(values, lower=0.0, upper=1.0)
        binary = (values == 0.0) | (values == 1.0)
        if not binary.all():
            index = int(np.argmin(binary))
            raise InvalidObservationError("value", "0 or 1", float(values[index]), index)
        return values

    def _factors(self, values: Values) -> Factors:
        return np.where(values <= self.centre, self._hit[:, None], self._miss[:, None])

    def _state(self) -> State:
        return [*self._engine.state(), np.array([self._errors], dtype=np.int64)]

    def _load(self, state: Sequence[NDArray[np.generic]]) -> None:
        self._engine.load(state[:-1])
        self._errors = int(state[-1][0])
