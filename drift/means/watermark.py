"""Labels in the order of their predictions: a delay that depends on the label does no harm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift.base import Settings, Values, checked_number
from drift.checkpoint import pack, unpack
from drift.errors import InvalidObservationError, InvalidSettingError

_LARGEST = float(np.finfo(np.float64).max)

Keys = NDArray[np.int64]
"""Shape (n,): number of each prediction; any whole numbers, each used once."""


@dataclass(frozen=True, slots=True)
class Released:
    """Predictions that are old enough, in the order in which they were made."""

    keys: Keys
    """Shape (n,): their numbers."""
    times: Values
    """Shape (n,): when each was made."""
    losses: Values
    """Shape (n,): the loss of each; NaN where no label came in time."""

    @property
    def missing(self) -> Values:
        """Shape (n,): 1 where no label came in time. Watch its mean: what is missing is not tested,
        and errors that lose their labels would hide."""
        return np.isnan(self.losses).astype(np.float64)

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Places of those that have a loss: what a detector of the loss is fed."""
        return np.flatnonzero(~np.isnan(self.losses))


class Watermark:
    """Holds predictions until they are `age` old, and then gives them out with their labels.

    The order is that of the predictions and nobody's choice: how long a label took says nothing any
    more, as long as it took less than `age`. Later labels are counted and left out.

    Parameters
    ----------
    age
        How old a prediction is when it is given out, above 0, in the unit of the times: so much
        that nearly every label has come. A change is found that much later.

    Notes
    -----
    There is no clock here: times are arguments. About 24 bytes for each prediction that waits.
    """

    name = "watermark"

    def __init__(self, age: float) -> None:
        self.age = checked_number("age", age, above=0.0, below=_LARGEST)
        self._keys = np.empty(0, dtype=np.int64)
        self._times = np.empty(0)
        self._losses = np.empty(0)
        self._mark = -_LARGEST
        self._late = 0

    @property
    def settings(self) -> Settings:
        """What the watermark was built with."""
        return {"age": self.age}

    @property
    def waiting(self) -> int:
        """Predictions that are not old enough."""
        return len(self._keys)

    @property
    def late(self) -> int:
        """Labels that came after their prediction had been given out, or of none that was known."""
        return self._late

    def predict(self, keys: Keys, times: Values) -> None:
        """Add predictions, in any order; all, or none if one is refused.

        Parameters
        ----------
        keys : shape (n,)
            Numbers that wait for no label yet.
        times : shape (n,)
            When each was made; not before what has been given out.

        Raises
        ------
        InvalidObservationError
            If a key is used twice, or a time is not finite or too old to keep the order.
        """
        keys, times = np.asarray(keys, dtype=np.int64), np.asarray(times, dtype=np.float64)
        if keys.ndim != 1 or times.shape != keys.shape:
            raise InvalidObservationError("times", f"shape {keys.shape}", f"shape {times.shape}")
        good = (times > self._mark) & (times <= _LARGEST)
        if not good.all():
            index = int(np.argmin(good))
            expected = f"above {self._mark:g}, up to which predictions were given out"
            raise InvalidObservationError("time", expected, float(times[index]), index)
        together = np.concatenate([self._keys, keys])
        order = np.argsort(together, kind="stable")
        repeated = np.flatnonzero(together[order][1:] == together[order][:-1])
        if len(repeated):
            second = order[repeated[0] + 1]
            index = int(second) - len(self._keys)
            raise InvalidObservationError("key", "one not used yet", int(together[second]), index)
        # Kept in the order of their keys, so that a label finds its prediction by halving.
        self._keys = together[order]
        self._times = np.concatenate([self._times, times])[order]
        self._losses = np.concatenate([self._losses, np.full(len(keys), np.nan)])[order]

    def label(self, keys: Keys, losses: Values) -> None:
        """Add labels, in any order; all, or none if one is refused. The first label counts.

        Parameters
        ----------
        keys : shape (n,)
            Numbers of the predictions; those that do not wait are counted as late.
        losses : shape (n,)
            Finite.
        """
        keys, losses = np.asarray(keys, dtype=np.int64), np.asarray(losses, dtype=np.float64)
        if keys.ndim != 1 or losses.shape != keys.shape:
            raise InvalidObservationError("losses", f"shape {keys.shape}", f"shape {losses.shape}")
        good = np.isfinite(losses)
        if not good.all():
            index = int(np.argmin(good))
            raise InvalidObservationError("loss", "a finite number", float(losses[index]), index)
        place = np.searchsorted(self._keys, keys)
        known = place < len(self._keys)
        known[known] = self._keys[place[known]] == keys[known]
        self._late += int((~known).sum())
        # From the last to the first: where a prediction is labelled twice, the first one stays.
        filled = self._losses.copy()
        filled[place[known][::-1]] = losses[known][::-1]
        self._losses = np.where(np.isnan(self._losses), filled, self._losses)

    def release(self, now: float) -> Released:
        """Give out what is `age` old at this time, which must not run backwards."""
        now = checked_number("now", now, above=-_LARGEST, below=_LARGEST)
        mark = now - self.age
        if mark < self._mark:
            raise InvalidSettingError("now", f"at least {self._mark + self.age:g}", now)
        old = self._times <= mark
        # Of equal times the smaller key goes first: the order must not depend on the calls.
        order = np.lexsort((self._keys[old], self._times[old]))
        released = Released(
            self._keys[old][order], self._times[old][order], self._losses[old][order]
        )
        self._keys, self._times = self._keys[~old], self._times[~old]
        self._losses = self._losses[~old]
        self._mark = mark
        return released

    def to_bytes(self) -> bytes:
        """Save what waits."""
        state = [
            self._keys,
            self._times,
            self._losses,
            np.array([self._mark]),
            np.array([self._late], dtype=np.int64),
        ]
        return pack(self.name, self.settings, state)

    def restore(self, data: bytes) -> None:
        """Take over what waits; raises `CheckpointError` if it is not that of this age."""
        keys, times, losses, mark, late = unpack(self.name, self.settings, data)
        self._keys, self._times = keys.astype(np.int64), times.astype(np.float64)
        self._losses = losses.astype(np.float64)
        self._mark, self._late = float(mark[0]), int(late[0])
