"""Units made of neighbouring rows, so that what is tested depends little on what went before."""

import numpy as np
from numpy.typing import NDArray

from drift.base import Settings, Values, checked_count, checked_values
from drift.checkpoint import pack, unpack


class Blocks:
    """Turns rows into means of blocks of a fixed size; an unfinished block waits for its rows.

    Parameters
    ----------
    size
        Rows a block: at least 5 times the mean length of a burst, or a whole period of a cycle.

    Notes
    -----
    A block's grant is the sum of its rows' grants. A test on blocks needs no independence inside a
    block; it reacts at the end of each block, so a large block is slow.
    """

    name = "blocks"

    def __init__(self, size: int) -> None:
        self.size = checked_count("size", size, least=1)
        self._waiting = np.empty(0)

    @property
    def settings(self) -> Settings:
        """What the blocks were built with."""
        return {"size": self.size}

    @property
    def waiting(self) -> int:
        """Rows in the unfinished block."""
        return len(self._waiting)

    def push(self, values: Values) -> tuple[Values, NDArray[np.int64]]:
        """Add rows; all, or none if one is refused.

        Parameters
        ----------
        values : shape (n,)
            Finite numbers, in order of consumption.

        Returns
        -------
        means : shape (blocks,)
            Mean of each block finished by these rows.
        last_rows : shape (blocks,)
            Index into `values` of the last row of each.
        """
        largest = float(np.finfo(np.float64).max)
        values = checked_values(values, lower=-largest, upper=largest)
        rows = np.concatenate([self._waiting, values])
        blocks = len(rows) // self.size
        if not blocks:
            self._waiting = rows
            return np.empty(0), np.empty(0, np.int64)
        means = rows[: blocks * self.size].reshape(blocks, self.size).mean(axis=1)
        last_rows = np.arange(1, blocks + 1) * self.size - 1 - len(self._waiting)
        self._waiting = rows[blocks * self.size :].copy()
        return means, last_rows

    def to_bytes(self) -> bytes:
        """Save the unfinished block."""
        return pack(self.name, self.settings, [self._waiting])

    def restore(self, data: bytes) -> None:
        """Take over an unfinished block; raises `CheckpointError` if it is not one of this size."""
        (waiting,) = unpack(self.name, self.settings, data)
        self._waiting = waiting.astype(np.float64)
