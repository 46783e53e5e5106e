"""Both versions answered the same rows: is the challenger worse, is it good enough?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import Update, Values, checked_grants, checked_number, checked_values
from drift.betting import BettingDetector, plain_head_start
from drift.canary.stakes import PAIRED_SHARES
from drift.engine import Factors

LOWEST, HIGHEST = -1.0, 1.0
"""Range of a difference of two losses in [0, 1]."""


class PairedExcess(BettingDetector):
    """Watch that the challenger's loss exceeds the champion's by no more than a margin.

    Feed ``loss of challenger - loss of champion`` for each row that both answered, in [-1, 1].

    Parameters
    ----------
    margin
        Excess mean loss that is accepted, in (-1, 1), such as 0.01.
    tiers
        Number of budgets served.
    head_start
        False alarms granted once, at the release: with 0.01 and no grants, a challenger that is
        never worse than the margin is rolled back with probability at most 0.01, looked at after
        every row.

    Notes
    -----
    A difference on the same row cancels what makes rows hard or easy, so days and seasons that hit
    both versions alike do no harm. 10 floats a tier.

    References
    ----------
    A. Podkopaev, A. Ramdas, "Tracking the risk of a deployed model and detecting harmful
    distribution shifts", ICLR 2022; I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random
    variables by betting", JRSS B 86(1), 2024.
    """

    name = "paired-excess"
    assumption = (
        "The expected excess loss of the challenger over the champion at each step, a row or the "
        "mean of a block, given all before it, is at most the margin."
    )

    def __init__(
        self, margin: float, *, tiers: int = 1, head_start: float | Sequence[float] = 0.01
    ) -> None:
        self.margin = checked_number("margin", margin, above=LOWEST, below=HIGHEST)
        self._slope = (PAIRED_SHARES / (self.margin - LOWEST))[:, None]
        self._base = 1.0 - self._slope * self.margin
        super().__init__(
            {
                "margin": self.margin,
                "tiers": tiers,
                "head_start": plain_head_start(head_start),
            },
            stakes=len(PAIRED_SHARES),
            tiers=tiers,
            head_start=head_start,
            smallest=1.0 - float(PAIRED_SHARES[-1]),
            largest=float(1.0 + self._slope[-1, 0] * (HIGHEST - self.margin)),
        )

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=LOWEST, upper=HIGHEST)

    def _factors(self, values: Values) -> Factors:
        factors: Factors = self._slope * values
        factors += self._base
        return factors


class PairedPromotion(BettingDetector):
    """Decide that the challenger is good enough: its excess loss is below `eps`.

    An alarm means "promote". The statistic is the evidence times `alpha`.

    Parameters
    ----------
    eps
        Excess mean loss that would be too much, in (-1, 1), such as 0.02. Below 0 it asks for proof
        that the challenger is *better* by that much.
    alpha
        Probability of promoting a challenger that is worse by `eps` or more at every row, in
        (0, 1).

    Notes
    -----
    Looked at after every row, for ever. It spends `alpha` once: grants are checked and not used,
    and after its alarm it never gives another. 10 floats.
    """

    name = "paired-promotion"
    assumption = (
        "If the expected excess loss of the challenger at each row, given all rows before it, "
        "is at least eps, it is promoted with probability at most alpha."
    )

    def __init__(self, eps: float, alpha: float = 0.05, *, tiers: int = 1) -> None:
        self.eps = checked_number("eps", eps, above=LOWEST, below=HIGHEST)
        self.alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
        self._slope = (PAIRED_SHARES / (HIGHEST - self.eps))[:, None]
        self._base = 1.0 + self._slope * self.eps
        super().__init__(
            {"eps": self.eps, "alpha": self.alpha, "tiers": tiers},
            stakes=len(PAIRED_SHARES),
            tiers=tiers,
            head_start=self.alpha,
            smallest=1.0 - float(PAIRED_SHARES[-1]),
            largest=float(1.0 + self._slope[-1, 0] * (self.eps - LOWEST)),
        )

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume differences; see `drift.base.Detector.update`. Grants change nothing."""
        values = self._checked(values)
        grants = checked_grants(grants, len(values), self._engine.tiers)
        return super().update(values, np.zeros_like(grants))

    def _checked(self, values: Values) -> Values:
        return checked_values(values, lower=LOWEST, upper=HIGHEST)

    def _factors(self, values: Values) -> Factors:
        factors: Factors = self._base - self._slope * values
        return factors
