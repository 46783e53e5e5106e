"""How much to bet on the difference of two versions."""

import numpy as np
from numpy.typing import NDArray

STAKES = 10
"""Shares of the wealth put at risk: more than for a mean, as differences vary more in scale."""

SHARES: NDArray[np.float64] = np.geomspace(0.0015, 0.6, STAKES)
"""Largest loss of each stake at one row, as a share of its wealth."""
