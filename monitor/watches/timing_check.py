"""Does the loss depend on when its label comes, or on the hour? What a rollback must not rest on.

A rollback watch that takes labels as they arrive, with one limit for all hours, keeps its promise
only where neither tells the loss. Rows of its own signal are looked at, at 200 labels and each time
their number has doubled; the first look comes before the watch arms, unless another version of the
application has passed one. Chance fails a look once in 1,000,
and once more in as many where hours are asked for.
"""

import math
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.timing import delay_refusal, season_refusal
from monitor.feed.columns import Ints

Floats = NDArray[np.float64]

FIRST = 200
"""Labels at the first look."""
LOOKS = 14
"""Looks at most: the last at 1.6 million labels."""
KEPT = 2048
"""Rows kept at most; when there are more every second goes, so that they span all that was seen."""
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
LEAST_DAYS = 4
"""Days that rows must span before a cycle can be told from one bad day."""


class _Saved(msgspec.Struct, array_like=True):
    seen: int
    stride: int
    looks: int
    passed_us: int | None
    refused_us: int | None
    rows: bytes


@dataclass(slots=True)
class Timing:
    """Losses with their delays and their times, thinned evenly."""

    looks_at_delay: bool = True
    seen: int = 0
    stride: int = 1
    looks: int = 0
    passed_us: int | None = None
    """When the first look was passed."""
    refused_us: int | None = None
    rows: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    """Shape (n, 3): loss in [0, 1], seconds to its label, microseconds since 1970 of its
    prediction."""

    @property
    def room(self) -> int:
        """Rows until the next look."""
        return FIRST * 2**self.looks - self.seen if self.looks < LOOKS else np.iinfo(np.int64).max

    def add(self, losses: Floats, at: Ints, made: Ints) -> None:
        """Take rows, no more than there is room."""
        if self.looks >= LOOKS:
            return
        fresh = np.stack([losses, np.maximum(at - made, 0) / 1e6, made.astype(np.float64)], axis=1)
        place = self.seen + np.arange(len(fresh))
        self.seen += len(fresh)
        while len(fresh):
            mine = place % self.stride == 0
            fresh, place = fresh[mine], place[mine]
            count = min(len(fresh), KEPT - len(self.rows))
            self.rows = np.concatenate((self.rows, fresh[:count]))
            fresh, place = fresh[count:], place[count:]
            if len(self.rows) == KEPT:
                self.rows, self.stride = self.rows[::2], 2 * self.stride

    def look(self, at_us: int, *, limit: float | None, block: int) -> str | None:
        """Look, at a moment in the record; why the watch may not be armed, or None if it may.

        Parameters
        ----------
        limit
            Largest accepted mean; none where it is not known yet.
        block
            Rows of one step.
        """
        self.looks += 1
        sentence = self._delay() if self.looks_at_delay else None
        sentence = sentence or (None if limit is None else self._season(limit, block))
        if sentence is not None:
            self.refused_us = at_us
        elif self.passed_us is None:
            self.passed_us = at_us
        if sentence is not None or self.looks >= LOOKS:
            self.looks, self.rows = LOOKS, self.rows[:0]
        return sentence

    def _delay(self) -> str | None:
        losses, delays = self.rows[:, 0], self.rows[:, 1]
        found = delay_refusal(losses, delays, stratified=False)
        if found is None:
            return None
        # Two figures are enough for a setting, and nobody reads more.
        nearly_all = max(1, math.ceil(float(f"{np.quantile(delays, 0.99):.2g}")))
        return (
            f"{_capital(found)} Set mature_after to {nearly_all} (seconds; 99 of 100 of these "
            f"labels came within), which tests predictions in their own order, or declare "
            f"independent_delay if you know better."
        )

    def _season(self, limit: float, block: int) -> str | None:
        made = self.rows[:, 2]
        span = float(made.max() - made.min())
        a_day = (len(self.rows) - 1) * self.stride * DAY_US / span if span else 0.0
        if span < LEAST_DAYS * DAY_US or block >= round(a_day):
            return None
        losses, hours = self.rows[:, 0], (made // HOUR_US % 24).astype(np.int64)
        found = season_refusal(losses, hours, limit=limit)
        if found is None or not _repeats(losses, hours, made // DAY_US % 2 == 0, limit):
            return None
        return (
            f"{_capital(found)} Set block to {round(a_day)}, the rows of a day, or limit to what "
            f"is accepted in the worst hour, or segments to {{by: time.hour}}, which compares each "
            f"hour with what is usual at it."
        )

    def to_bytes(self) -> bytes:
        """As it is kept between turns."""
        return msgspec.msgpack.encode(
            _Saved(
                self.seen,
                self.stride,
                self.looks,
                self.passed_us,
                self.refused_us,
                self.rows.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, looks_at_delay: bool) -> "Timing":
        """What was kept."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        rows = np.frombuffer(saved.rows, np.float64).reshape(-1, 3)
        return cls(
            looks_at_delay,
            saved.seen,
            saved.stride,
            saved.looks,
            saved.passed_us,
            saved.refused_us,
            rows,
        )


def _repeats(losses: Floats, hours: Ints, even: NDArray[np.bool_], limit: float) -> bool:
    """Whether the hours that are bad on even days are so on odd ones, and the other way round: one
    long fault is no cycle."""
    for days in (even, ~even):
        count = np.bincount(hours[days], minlength=24)
        mean = np.bincount(hours[days], losses[days], 24) / np.maximum(count, 1)
        bad = np.argsort(np.where(count > 0, mean, -1.0))[-6:]
        others = losses[~days & np.isin(hours, bad)]
        if len(others) < 20 or others.mean() <= max(limit, losses.mean()):
            return False
    return True


def _capital(found: str) -> str:
    """What was found as a sentence, without the advice in the words of the statistics."""
    said = found.partition(" Configure ")[0]
    return said[0].upper() + said[1:]
