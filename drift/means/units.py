"""Units made of rows that belong together: sessions, users, batch jobs."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Settings, Values, checked_count, checked_values
from drift.checkpoint import pack, unpack
from drift.errors import InvalidObservationError


@dataclass(slots=True)
class _Open:
    """A unit whose rows may still be coming."""

    total: float
    rows: int
    last_step: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Units that were finished by the rows of one call, in order."""

    means: Values
    """Shape (units,): mean of each unit's rows."""
    rows: NDArray[np.int64]
    """Shape (units,): rows of each; its grant is the sum of theirs, or the time since the last."""
    at: NDArray[np.int64]
    """Shape (units,): index into the call's rows after which each was finished."""
    keys: tuple[str, ...]
    """Their keys."""


class Units:
    """Turns rows into means of units; a unit is finished when `gap` other rows came without it.

    Parameters
    ----------
    gap
        Rows to wait for another row of the same unit. Later ones begin a new unit of that key.

    Notes
    -----
    When a unit ends depends on keys alone, never on values. At most `gap` units are open at a time.
    """

    name = "units"

    def __init__(self, gap: int) -> None:
        self.gap = checked_count("gap", gap, least=1)
        self._steps = 0
        # In order of their last row: the first is always the next to be finished.
        self._open: dict[str, _Open] = {}

    @property
    def settings(self) -> Settings:
        """What the units were built with."""
        return {"gap": self.gap}

    @property
    def waiting(self) -> int:
        """Units that are not finished."""
        return len(self._open)

    def push(self, values: Values, keys: list[str]) -> Finished:
        """Add rows; all, or none if one is refused.

        Parameters
        ----------
        values : shape (n,)
            Finite numbers, in order of consumption.
        keys : length n
            Key of the unit that each row belongs to.
        """
        largest = float(np.finfo(np.float64).max)
        values = checked_values(values, lower=-largest, upper=largest)
        if len(keys) != len(values):
            raise InvalidObservationError("keys", f"{len(values)} of them", len(keys))
        for index, key in enumerate(keys):
            if not isinstance(key, str):
                raise InvalidObservationError("key", "a string", repr(key), index)
        done: list[tuple[float, int, int, str]] = []
        for index, (value, key) in enumerate(zip(values.tolist(), keys, strict=True)):
            unit = self._open.pop(key, None) or _Open(0.0, 0, 0)
            unit.total += value
            unit.rows += 1
            unit.last_step = self._steps
            self._open[key] = unit
            self._steps += 1
            oldest = next(iter(self._open))
            if self._open[oldest].last_step <= self._steps - 1 - self.gap:
                finished = self._open.pop(oldest)
                done.append((finished.total / finished.rows, finished.rows, index, oldest))
        return Finished(
            means=np.array([mean for mean, _, _, _ in done]),
            rows=np.array([rows for _, rows, _, _ in done], dtype=np.int64),
            at=np.array([at for _, _, at, _ in done], dtype=np.int64),
            keys=tuple(key for _, _, _, key in done),
        )

    def to_bytes(self) -> bytes:
        """Save the open units."""
        units = self._open.values()
        text = json.dumps(list(self._open)).encode()
        return pack(
            self.name,
            self.settings,
            [
                np.array([self._steps, *(unit.rows for unit in units)], dtype=np.int64),
                np.array([unit.last_step for unit in units], dtype=np.int64),
                np.array([unit.total for unit in units]),
                np.frombuffer(text, dtype=np.uint8),
            ],
        )

    def restore(self, data: bytes) -> None:
        """Take over open units; raises `CheckpointError` if they are not those of this gap."""
        counts, lasts, totals, text = unpack(self.name, self.settings, data)
        keys = json.loads(text.tobytes())
        self._steps = int(counts[0])
        self._open = {
            key: _Open(float(total), int(rows), int(last))
            for key, total, rows, last in zip(keys, totals, counts[1:], lasts, strict=True)
        }
