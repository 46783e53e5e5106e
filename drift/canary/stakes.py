"""How much to bet on the difference of two versions."""

import numpy as np
from numpy.typing import NDArray

STAKES = 10
"""Shares of the wealth put at risk: more than for a mean, as differences vary more in scale."""

SHARES: NDArray[np.float64] = np.geomspace(0.0015, 0.6, STAKES)
"""Largest loss of each stake at one row, as a share of its wealth."""

PAIRED_SHARES: NDArray[np.float64] = np.geomspace(0.02, 0.8, STAKES)
"""The same for differences on the same row, whose range is fixed: what stakes below .02 could find
is an excess under .002 beyond the margin. Bets 1 + share * (d - margin) / (1 + margin) are the only
admissible ones against "the mean of d is at most the margin", so the choice is between shares."""
