"""Has a category become more frequent? Each is a 0/1 stream of its own, against all of its past."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drift.base import (
    Alarm,
    Settings,
    Update,
    Values,
    checked_count,
    checked_grants,
    checked_number,
    checked_values,
)
from drift.betting import plain_head_start
from drift.checkpoint import pack, unpack
from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.means.pool import GrowingPool

TOP = 16
"""Categories with a stream of their own; the rest share OTHER, and new ones UNSEEN."""

OTHER, UNSEEN = "OTHER", "UNSEEN"
"""Names of the last two codes."""

_LEAST_SHARE, _MOST_SHARE = 1e-3, 0.9
"""Range of the centres: a category that was never seen is expected now and then."""

_MOST_CODES = 64


class Categories:
    """Codes of the values of one column, from a training profile.

    Parameters
    ----------
    names
        The frequent categories, each with a code of its own, from 0.
    known
        All categories of the profile; those without a code of their own are OTHER.
    """

    def __init__(self, names: Sequence[str], known: Sequence[str]) -> None:
        self.names = (*names, OTHER, UNSEEN)
        self._codes = {name: float(len(names)) for name in known}
        self._codes |= {name: float(code) for code, name in enumerate(names)}
        self._unseen = float(len(names) + 1)

    def codes(self, values: Sequence[str]) -> Values:
        """Code of each value: a value not in the profile is UNSEEN."""
        return np.array([self._codes.get(value, self._unseen) for value in values])


def profile(values: Sequence[str]) -> tuple[Categories, list[float]]:
    """Return the codes of a training profile, and the share of each code in it."""
    if not len(values):
        raise InsufficientDataError("training values", 1, 0)
    names, counts = np.unique(np.asarray(values, dtype=str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    frequent = [str(names[index]) for index in order[:TOP]]
    categories = Categories(frequent, [str(name) for name in names])
    codes = categories.codes(values).astype(np.int64)
    shares = np.bincount(codes, minlength=len(categories.names)) / len(codes)
    return categories, shares.tolist()


class CategoricalRanks:
    """Watch that no category's share rises, with the budget divided equally among them.

    Parameters
    ----------
    shares
        Expected share of each code, from data that is not watched; a wrong one costs delay only.
    tiers, head_start
        As in `drift.means.bounded.BoundedMean`, for all categories together.
    seed
        Whole number that fixes the draws.

    Notes
    -----
    A share that falls makes others rise. The statistic is the largest of the categories', and the
    stake of an alarm is the code that rose. About 0.15 µs a value and code.
    """

    name = "categorical-ranks"
    guaranteed: ClassVar[bool] = True
    assumption: ClassVar[str] = (
        "The values are exchangeable: any order of the same values would have been equally likely."
    )

    def __init__(
        self,
        shares: Sequence[float],
        *,
        tiers: int = 1,
        head_start: float | Sequence[float] = 0.0,
        seed: int = 0,
    ) -> None:
        if not 2 <= len(shares) <= _MOST_CODES:
            raise InvalidSettingError("shares", f"2 to {_MOST_CODES} of them", shares)
        numbers = [checked_number("share", s, above=0.0, below=1.0, inclusive=True) for s in shares]
        checked_count("seed", seed, least=0)
        count = len(numbers)
        head = plain_head_start(head_start)
        each = [h / count for h in head] if isinstance(head, list) else head / count
        self._tiers = tiers
        self._settings: Settings = {
            "shares": numbers,
            "tiers": tiers,
            "head_start": head,
            "seed": seed,
        }
        self._pools = [
            GrowingPool(
                min(max(share, _LEAST_SHARE), _MOST_SHARE),
                tiers=tiers,
                head_start=each,
                seed=seed * _MOST_CODES + code,
            )
            for code, share in enumerate(numbers)
        ]

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return self._pools[0].steps

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return dict(self._settings)

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume codes; see `drift.base.Detector.update`."""
        codes = checked_values(values, lower=0.0, upper=len(self._pools) - 1.0)
        whole = codes == np.floor(codes)
        if not whole.all():
            index = int(np.argmin(whole))
            raise InvalidObservationError("code", "a whole number", float(codes[index]), index)
        grants = checked_grants(grants, len(codes), self._tiers) / len(self._pools)
        statistic = np.zeros((len(codes), self._tiers))
        alarms: list[Alarm] = []
        for code, pool in enumerate(self._pools):
            update = pool.update((codes == code).astype(np.float64), grants)
            np.maximum(statistic, update.statistic, out=statistic)
            for alarm in update.alarms:
                alarms.append(
                    Alarm(
                        alarm.step, alarm.tier, alarm.statistic, alarm.threshold, code, alarm.onset
                    )
                )
        alarms.sort(key=lambda alarm: (alarm.step, alarm.tier, alarm.stake))
        return Update(statistic, tuple(alarms))

    def to_bytes(self) -> bytes:
        """Save the state."""
        parts = [np.frombuffer(pool.to_bytes(), dtype=np.uint8) for pool in self._pools]
        return pack(self.name, self._settings, parts)

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        for pool, part in zip(self._pools, unpack(self.name, self._settings, data), strict=True):
            pool.restore(part.tobytes())
