"""Many streams that step together, as arrays: thousands of segments or simulations at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drift.base import MAX_GRANT, checked_count
from drift.checkpoint import pack, unpack
from drift.chunks import THRESHOLD
from drift.engine import head_starts
from drift.errors import CheckpointError, InvalidObservationError


class Streams:
    """The engine's recursion on `count` streams that each receive one row a tick.

    Parameters
    ----------
    count
        Number of streams n.
    stakes, tiers, head_start
        As in `drift.engine.Engine`, for every stream.

    Notes
    -----
    Onsets are not followed. 64 bytes a stream and tier at 8 stakes.
    """

    name = "streams"

    def __init__(
        self,
        count: int,
        *,
        stakes: int,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
    ) -> None:
        self.count = checked_count("count", count, least=1)
        self.stakes = checked_count("stakes", stakes, least=1)
        self.tiers = checked_count("tiers", tiers, least=1)
        heads = head_starts(head_start, self.tiers)
        self._wealth = np.broadcast_to(
            heads[:, None, None], (self.tiers, self.stakes, self.count)
        ).copy()

    def step(
        self, factors: NDArray[np.float64], grants: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Consume one row of every stream.

        Parameters
        ----------
        factors : shape (stakes, n)
            What each stake multiplies its wealth by; at least 0.
        grants : shape (tiers,) or (tiers, n)
            Expected false alarms allowed to this row.

        Returns
        -------
        statistic : shape (tiers, n)
            Before a restart.
        alarms : shape (tiers, n)
            Which of them alarmed and restarted.
        """
        if factors.shape != (self.stakes, self.count):
            raise InvalidObservationError(
                "factors", f"shape {(self.stakes, self.count)}", f"shape {factors.shape}"
            )
        if not factors.min() >= 0.0 or not np.isfinite(factors.max()):
            raise InvalidObservationError("factors", "finite, at least 0", "another")
        if not (np.min(grants) >= 0.0 and np.max(grants) <= MAX_GRANT):
            raise InvalidObservationError("grants", f"numbers in [0, {MAX_GRANT:g}]", grants)
        granted = grants[:, None, None] if grants.ndim == 1 else grants[:, None, :]
        self._wealth += granted
        self._wealth *= factors
        statistic = np.add.reduce(self._wealth, axis=1)
        statistic /= self.stakes
        alarms = statistic >= THRESHOLD
        if alarms.any():
            self._wealth[np.broadcast_to(alarms[:, None, :], self._wealth.shape)] = 0.0
        return statistic, alarms

    def to_bytes(self) -> bytes:
        """Save the state."""
        return pack(self.name, {}, [self._wealth])

    def restore(self, data: bytes) -> None:
        """Take over a saved state of as many streams, stakes and tiers."""
        (wealth,) = unpack(self.name, {}, data)
        if wealth.shape != self._wealth.shape:
            raise CheckpointError(f"state has shape {wealth.shape}, expected {self._wealth.shape}")
        self._wealth = wealth.astype(np.float64)
