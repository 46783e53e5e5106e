"""Rows that complete no step of a test, put aside as they came until one completes it.

Most rows of an application that is seldom asked complete no step: a block of five has one. Such a
row is kept beside the detectors that it concerns, by some two hundred bytes, and these are neither
read nor written. The row that completes a step is fed together with those put aside: to the
detectors that is one more split of the same rows into turns, of which none changes what they
conclude.

A family that only informs is looked at with every tenth row, though some of its members may step
with each: of twenty features one always does, and for its sake all would be read and written.

Nor need anybody look at rows that are good news, such as a right answer or one in time, though each
is a step: they can only lower a statistic, and of a bet that a draw may win is known how much. They
wait while the statistic, with all that was granted meanwhile, cannot have reached the threshold.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.base import Harmless
from drift.betting import BettingDetector
from drift.chunks import THRESHOLD
from drift.means.auc import AucPairs
from drift.means.units import Units
from monitor.evaluation.delays import AGE
from monitor.evaluation.detector_state import FAMILY, Subject
from monitor.evaluation.pairing import LOOK
from monitor.feed.rows import Rows
from monitor.moments import from_micros
from monitor.records import Watch, WatchAside
from monitor.settings import Tier
from monitor.signals.base import Observations
from monitor.signals.custom import asks
from monitor.watches.budget import ROUNDING
from monitor.watches.watch import settings_of

Floats = NDArray[np.float64]

MOST_ASIDE = 64
"""Rows put aside at most: they are written anew with each that is added."""

LOOK_EVERY = 10
"""Rows with which a family that only informs is looked at."""

MOST_UNSEEN = 20
"""Good news put aside at most: what people see of a test is as of the row before them."""

CERTAIN = THRESHOLD - 1e-6
"""A bound below this is below the threshold, whatever rounding does to both."""


class _Packed(msgspec.Struct, array_like=True):
    members: list[tuple[str, int, bool]]
    columns: tuple[str, ...] = ()
    values: bytes = b""
    at: bytes = b""
    ids: bytes = b""
    grants: bytes = b""
    made: bytes | None = None
    calm: tuple[float, float, list[float]] | None = None


@dataclass(slots=True)
class Calm:
    """How far steps that are put aside can have brought the statistics of a subject's members."""

    level: float
    """What the largest statistic is at most before any draw of theirs: with all grants."""
    factor: float
    """By which one of them multiplies it at most."""
    most: dict[str, float]
    """By signal: values up to this are good news, in the signal's unit."""

    @classmethod
    def beside(cls, subjects: Sequence[Subject]) -> "Calm | None":
        """None where a value may matter of which nothing tells that."""
        found = [_harmless(one) for one in subjects]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return cls(
            max(one.statistic for one in subjects),
            max(one.factor for one in known),
            {one.signal: each.most for one, each in zip(subjects, known, strict=True)},
        )

    def bears(
        self, signals: Sequence[str], values: Floats, *, waiting: int, granted: float
    ) -> bool:
        """Whether rows are good news, and no statistic can reach the threshold with them.

        Parameters
        ----------
        waiting
            Rows that are put aside already.
        granted
            To these rows at most.
        """
        rows = waiting + len(values)
        if rows > MOST_UNSEEN or (self.level + granted) * self.factor**rows >= CERTAIN:
            return False
        most = np.array([self.most.get(signal, -np.inf) for signal in signals])
        # NaN is no value, and no step.
        return not (values > (most if values.ndim > 1 else most[0])).any()


@dataclass(slots=True)
class Aside:
    """What is put aside for one subject of a watch, and how much more may be."""

    room: int
    """Rows that may still come without completing a step."""
    members: dict[str, tuple[int, bool]]
    """By signal: observations, and whether grants are bought for them."""
    columns: tuple[str, ...] = ()
    """Of a family, as in the rows."""
    rows: Rows | None = None
    granted: float = 0.0
    last_observed_at: datetime | None = None
    calm: Calm | None = None

    @classmethod
    def beside(cls, subjects: Sequence[Subject]) -> "Aside":
        """Nothing yet, beside the members of a family or one subject alone."""
        room = min(room_of(one) for one in subjects)
        if looks(subjects[0].watch) and all(is_settled(one) for one in subjects):
            seen = max(one.observations for one in subjects)
            room = max(room, LOOK_EVERY - 1 - seen % LOOK_EVERY)
        return cls(
            room,
            {one.signal: (one.observations, one.status == "armed") for one in subjects},
            granted=sum(one.granted for one in subjects),
            last_observed_at=max(
                (one.last_observed_at for one in subjects if one.last_observed_at), default=None
            ),
            calm=Calm.beside(subjects),
        )

    @property
    def observations(self) -> int:
        """Of the member that has most."""
        return max(count for count, _ in self.members.values())

    @property
    def waits(self) -> bool:
        """Whether rows are put aside beside them at all: nobody among them learns."""
        return self.room > 0 or self.rows is not None

    def takes(self, signals: Sequence[str], values: Floats, granted: float) -> bool:
        """Whether rows may be put aside: nobody is met in them, and they complete no step, or none
        that alarms.

        Parameters
        ----------
        signals
            Of the columns of a family's `values`; otherwise the signal alone.
        granted
            To these rows at most.
        """
        if len(values) > self.room:
            waiting = 0 if self.rows is None else len(self.rows.values)
            if self.calm is None or not self.calm.bears(
                signals, values, waiting=waiting, granted=granted
            ):
                return False
        return self._knows(signals, values)

    def _knows(self, signals: Sequence[str], values: Floats) -> bool:
        if self.rows is not None and self.columns != tuple(signals):
            return False
        if values.ndim == 1:
            return all(signal in self.members for signal in signals)
        some = np.any(~np.isnan(values), axis=0)
        return all(signal in self.members for signal in np.array(signals)[some].tolist())

    def until_look(self, signals: Sequence[str], values: Floats) -> int:
        """How many new rows of a family are fed, with all that were put aside; the rest waits.

        The last of them is one with which the member that has most values has a multiple of
        `LOOK_EVERY`: so which rows wait depends on them alone, not on the turns that brought them.
        """
        if not self._knows(signals, values):
            return len(values)
        start = np.array([self.members.get(signal, (0, False))[0] for signal in signals])
        most = np.max(start + np.cumsum(~np.isnan(values), axis=0), axis=1)
        before = np.concatenate(([self.observations], most[:-1]))
        looked = np.flatnonzero(most // LOOK_EVERY > before // LOOK_EVERY)
        if len(looked):
            return int(looked[-1]) + 1
        waiting = 0 if self.rows is None else len(self.rows.values)
        return len(values) if waiting + len(values) > MOST_ASIDE else 0

    def put(self, signals: Sequence[str], rows: Rows) -> None:
        """Put rows aside that it takes."""
        known = ~np.isnan(rows.values.reshape(len(rows.values), -1))
        for number, signal in enumerate(signals):
            mine = known[:, number]
            if not mine.any():
                continue
            count, buys = self.members[signal]
            self.members[signal] = count + int(mine.sum()), buys
            self.granted += float(rows.grants[mine].sum()) if buys else 0.0
        if known.any():
            latest = from_micros(int(rows.at[known.any(axis=1)].max()))
            self.last_observed_at = max(latest, self.last_observed_at or latest)
        self.room = max(0, self.room - len(rows.values))
        if self.calm is not None:
            self.calm.level += float(rows.grants.sum())
        self.columns = tuple(signals)
        self.rows = rows if self.rows is None else self.rows.followed_by(rows)

    def to_record(self, watch_id: int, subject: str) -> WatchAside:
        """As it is kept between turns."""
        members = [(signal, count, buys) for signal, (count, buys) in self.members.items()]
        calm = None
        if self.calm is not None:
            calm = self.calm.level, self.calm.factor, list(self.calm.most.values())
        packed = _Packed(members, calm=calm)
        if self.rows is not None:
            packed = _Packed(
                members,
                self.columns,
                self.rows.values.tobytes(),
                self.rows.at.tobytes(),
                self.rows.ids.tobytes(),
                self.rows.grants.tobytes(),
                None if self.rows.made is None else self.rows.made.tobytes(),
                calm,
            )
        return WatchAside(
            watch_id,
            subject,
            self.room,
            msgspec.msgpack.encode(packed),
            self.observations,
            self.granted,
            self.last_observed_at,
        )

    @classmethod
    def from_record(cls, watch: Watch, record: WatchAside) -> "Aside | None":
        """As it was kept; none where nothing can be put aside yet."""
        if not record.aside:
            return None
        packed = msgspec.msgpack.decode(record.aside, type=_Packed)
        rows = None
        if packed.at:
            at = np.frombuffer(packed.at, np.int64)
            values = np.frombuffer(packed.values, np.float64)
            family = watch.signal.endswith(FAMILY)
            rows = Rows(
                values.reshape(len(at), len(packed.columns)) if family else values,
                at,
                np.frombuffer(packed.ids, "S16"),
                np.frombuffer(packed.grants, np.float64),
                made=None if packed.made is None else np.frombuffer(packed.made, np.int64),
            )
        members = {signal: (count, buys) for signal, count, buys in packed.members}
        calm = None
        if packed.calm is not None:
            level, factor, most = packed.calm
            calm = Calm(level, factor, dict(zip(members, most, strict=True)))
        return cls(
            record.room,
            members,
            packed.columns,
            rows,
            record.granted,
            record.last_observed_at,
            calm,
        )


def room_of(one: Subject) -> int:
    """Rows that a detector can be without: they complete no step, and nothing is learned of them.

    Returns
    -------
    int
        From 0 to `MOST_ASIDE`.
    """
    if one.status == "refused":
        return MOST_ASIDE
    if not is_settled(one):
        return 0
    if "thin" in one.parameters:
        room = -one.skipped % int(one.parameters["thin"])
    elif one.blocks is None:
        return 0
    else:
        assert not isinstance(one.blocks, Units | AucPairs)
        room = one.blocks.size - one.blocks.waiting - 1
    if one.timing is not None:
        room = min(room, one.timing.room - 1)
    return max(0, min(room, MOST_ASIDE))


def _harmless(one: Subject) -> Harmless | None:
    """Values of a subject that are good news, in its signal's unit; none where none is known to
    be."""
    alone = one.blocks is None and one.timing is None and one.fault is None
    plain = is_settled(one) and "thin" not in one.parameters and not one.parameters.get("inverted")
    if not alone or not plain or not one.sums.n or not isinstance(one.awake, BettingDetector):
        return None
    found = one.awake.harmless
    return found and Harmless(found.most * one.scale * (1.0 - ROUNDING), found.factor)


def is_settled(one: Subject) -> bool:
    """Whether nothing but steps is made of its rows: none is learned from or kept back."""
    if one.status == "refused":
        return True
    waits = {LOOK, AGE} & one.parameters.keys() or len(one.waiting)
    return one.status == "armed" and not waits and not isinstance(one.blocks, Units | AucPairs)


def looks(watch: Watch) -> bool:
    """Whether a watch is looked at with some rows only."""
    return watch.tier is Tier.INFO and watch.signal.endswith(FAMILY)


def may_wait(watch: Watch) -> bool:
    """Whether rows of a watch may be put aside: nothing but their steps is asked of them."""
    settings = settings_of(watch)
    return (
        watch.detector not in NEVER_WAIT
        and not asks(watch)
        and settings.segments is None
        and settings.unit is None
        and settings.mature_after is None
    )


NEVER_WAIT = (
    "quiet",
    "paired-promotion",
    "paired-excess",
    "randomised-promotion",
    "randomised-excess",
)
"""Detectors of which no row is put aside: a comparison tells another one its unit."""


def all_wait(watch: Watch, seen: Observations, asides: Mapping[str, Aside], granted: float) -> bool:
    """Whether all rows that a turn brought a watch are put aside.

    Parameters
    ----------
    granted
        To all of them at most.
    """
    if seen.unit is not None or seen.dealt is not None:
        return False
    counts = np.bincount(seen.code, minlength=len(seen.names))
    for name, count in zip(seen.names, counts.tolist(), strict=True):
        beside = asides.get(name)
        if count and (beside is None or (beside.calm is None and beside.room < count)):
            return False
    signals = signals_of(watch, seen.columns)
    places = seen.by_subject()
    return all(asides[name].takes(signals, seen.value[at], granted) for name, at in places.items())


def signals_of(watch: Watch, columns: Collection[str]) -> tuple[str, ...]:
    """Signals of a family's members, or of the watch alone."""
    family = watch.signal.partition(".")[0]
    return tuple(f"{family}.{name}" for name in columns) or (watch.signal,)
