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
from drift.chunks import THRESHOLD
from drift.engine import head_starts
from drift.errors import (
    CheckpointError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.means.pool import uniforms
from drift.means.stakes import mean_stakes
from drift.ranks.evidence import Crossing, Evidence, Stakes
from drift.ranks.hits import hits

TOP = 16
"""Categories with a stream of their own; the rest share OTHER, and new ones UNSEEN."""

OTHER, UNSEEN = "OTHER", "UNSEEN"
"""Names of the last two codes."""

_LEAST_SHARE, _MOST_SHARE = 1e-3, 0.9
"""Range of the centres: a category that was never seen is expected now and then."""

_MOST_CODES = 64

_EVERY = 2
"""Of a mean's stakes a category carries every second. For shares that rise the delays were the same
within what 300 streams tell; a category that was never seen takes up to half as long again."""

_ROWS_AT_ONCE = 16_384
"""Rows that one step over the blocks takes: what follows an alarm is done again to its end."""


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

    Each code is a 0/1 stream with a conformal p-value of its own, as in
    `drift.means.pool.GrowingPool`; p-values up to its share in the training profile are bet on.

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
    A share that falls makes others rise. The statistic is the largest of the categories' since the
    last multiple of 64 rows or the last alarm; it moves where a category occurs. The stake of an
    alarm is the code that rose, and its onset is known to 64 rows. About 0.4 µs a value and
    50 bytes a code, whatever the number of codes.

    References
    ----------
    V. Vovk, I. Nouretdinov, A. Gammerman, "Conformal testing: binary case with Markov
    alternatives", COPA 2022.
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
        self._seed = checked_count("seed", seed, least=0)
        self._tiers = checked_count("tiers", tiers, least=1)
        self._settings: Settings = {
            "shares": numbers,
            "tiers": tiers,
            "head_start": plain_head_start(head_start),
            "seed": seed,
        }
        self._centres = np.clip(numbers, _LEAST_SHARE, _MOST_SHARE)
        bets = np.column_stack([mean_stakes(centre)[::_EVERY] for centre in self._centres.tolist()])
        miss = np.log1p(-bets * self._centres)
        self._stakes = Stakes(miss, np.log1p(bets * (1.0 - self._centres)) - miss)
        self._counts = np.zeros(len(numbers), dtype=np.int64)
        heads = head_starts(head_start, self._tiers) / len(numbers)
        self._evidence = Evidence.start(heads, *bets.shape)

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return int(self._counts.sum())

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return dict(self._settings)

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume codes; see `drift.base.Detector.update`."""
        codes = checked_values(values, lower=0.0, upper=len(self._counts) - 1.0)
        whole = codes == np.floor(codes)
        if not whole.all():
            index = int(np.argmin(whole))
            raise InvalidObservationError("code", "a whole number", float(codes[index]), index)
        grants = checked_grants(grants, len(codes), self._tiers) / len(self._counts)
        small = codes.astype(np.uint8)
        statistic = np.empty_like(grants)
        alarms: list[Alarm] = []
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            statistic[part], found = self._advance(small[part], grants[part])
            alarms += [
                Alarm(start + at.row, at.tier, at.statistic, THRESHOLD, at.stream, at.onset)
                for at in found
            ]
        alarms.sort(key=lambda alarm: (alarm.step, alarm.tier, alarm.stake))
        return Update(statistic, tuple(alarms))

    def _advance(
        self, codes: NDArray[np.uint8], grants: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[Crossing]]:
        steps = self.steps
        draws = uniforms(self._seed, steps, len(codes))
        rows, hit_codes = hits(codes, draws, self._centres, self._counts, steps)
        self._evidence, statistic, found = self._evidence.advance(
            rows, hit_codes, grants, steps, self._stakes
        )
        self._counts = self._counts + np.bincount(codes, minlength=len(self._counts))
        return statistic, found

    def to_bytes(self) -> bytes:
        """Save the state."""
        seen = self._evidence
        return pack(
            self.name,
            self._settings,
            [
                np.stack([self._counts, seen.began, seen.hits_since]),
                seen.hits.astype(np.uint8),
                seen.wealth,
                np.stack([seen.granted, seen.peak]),
            ],
        )

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        state = unpack(self.name, self._settings, data)
        if len(state) != 4 or state[2].shape != self._evidence.wealth.shape:
            raise CheckpointError("state is of an earlier form of this detector")
        counts, began, hits_since = state[0].astype(np.int64)
        granted, peak = state[3].astype(np.float64)
        self._counts = counts
        self._evidence = Evidence(
            wealth=state[2].astype(np.float64),
            hits=state[1].astype(np.int64),
            began=began,
            hits_since=hits_since,
            granted=granted,
            peak=peak,
        )
