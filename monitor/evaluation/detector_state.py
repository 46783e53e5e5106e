"""A detector between two turns: from a row of watch_states to objects and back."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.base import Detector
from drift.catalog import create
from drift.means.auc import AucPairs
from drift.means.blocks import Blocks
from drift.means.units import Units
from monitor.evaluation.faults import Fault
from monitor.evidence import Sums, Trace
from monitor.feed.columns import Ids
from monitor.feed.maturing import Waiting
from monitor.moments import from_micros, to_micros
from monitor.records import Json, Watch, WatchState
from monitor.watches.resolution import Resolved, detector_name, detector_settings
from monitor.watches.timing_check import Timing
from monitor.watches.watch import settings_of

RECENT, RECENT_OF_MEMBER = 512, 64
"""Last steps that are kept one by one, so that an onset can be named and before be told from
after. A family's members share one row of the table, so each keeps fewer."""
MEMBER_POINTS = 50
"""Points in the trace of a family's member."""
FAMILY = ".*"
"""End of the signal of a watch of several signals that step together."""


class _Saved(msgspec.Struct, array_like=True):
    version: int
    detector: bytes
    blocks: bytes
    pending_grant: float
    partial_id: bytes
    partial_at: int
    learned: int
    learned_sum: float
    values: bytes
    at: bytes
    ids: bytes
    sums: tuple[int, float, float]
    learned_values: bytes = b""
    skipped: int = 0
    told_at: int = 0
    waiting: tuple[bytes, ...] = ()
    timing: bytes = b""
    fault: bytes = b""
    learned_at: bytes = b""


class _Member(msgspec.Struct, array_like=True):
    signal: str
    status: str
    reason: str | None
    parameters: Json
    saved: _Saved
    observations: int
    granted: float
    alarms: int
    statistic: float
    last_us: int | None
    started_us: int | None
    trace: Json


SAVED_VERSION = 2


@dataclass(slots=True)
class Subject:
    """One detector of one watch at work on one signal of one subject."""

    watch: Watch
    signal: str
    """The watch's own, or that of one member of its family."""
    subject: str
    status: str
    reason: str | None
    parameters: Json
    detector: Detector | None = None
    blocks: Blocks | Units | AucPairs | None = None
    pending_grant: float = 0.0
    """Granted to rows that are not a whole block yet."""
    partial: tuple[UUID, int] | None = None
    """First row of the block begun, and its time."""
    learned: int = 0
    learned_sum: float = 0.0
    learned_values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """First live values, while they are to become the reference or to tell the unit."""
    learned_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """When those of a trial were consumed."""
    skipped: int = 0
    """Rows since the last that thinning took."""
    told_at: int = 0
    """Step of the last alarm that was told; 0 for none."""
    waiting: Waiting = field(default_factory=Waiting)
    """Labelled rows that are not old enough to be tested."""
    timing: Timing | None = None
    """Whether delays and hours tell the loss, where an alarm may roll back."""
    fault: Fault | None = None
    """What the last alarm about a loss said, until it is over."""
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ids: Ids = field(default_factory=lambda: np.zeros(0, "S16"))
    """The last steps: value, time and prediction of the first row of each."""
    sums: Sums = field(default_factory=Sums)
    """Over all steps."""
    trace: Trace = field(default_factory=Trace)
    observations: int = 0
    granted: float = 0.0
    alarms: int = 0
    statistic: float = 0.0
    last_observed_at: datetime | None = None
    started_at: datetime | None = None

    @property
    def block(self) -> int:
        """Rows in one step."""
        return int(self.parameters.get("block", 1))

    @property
    def scale(self) -> float:
        """Loss that counts as 1."""
        return float(self.parameters.get("clip") or 1.0)

    @property
    def signed(self) -> bool:
        """Whether its values are differences of two versions."""
        return "," in self.subject.partition("|")[0]

    @property
    def kind(self) -> str:
        """Name of the detector in drift.catalog."""
        return detector_name(self.watch, self.parameters)

    @property
    def recent(self) -> int:
        """Steps kept one by one."""
        return RECENT_OF_MEMBER if self.watch.signal.endswith(FAMILY) else RECENT

    @property
    def key(self) -> str:
        """By which a watch finds it among its others."""
        return key_of(self.watch, self.signal, self.subject)

    def arm(self) -> None:
        """Make the detector from the parameters."""
        # From names alone: numbers of rows differ between two runs over the same record.
        about = f"{self.watch.application_id} {self.watch.name} {self.subject}"
        if self.signal != self.watch.signal:
            about += f" {self.signal}"
        seed = zlib.crc32(about.encode())
        self.detector = create(self.kind, detector_settings(self.watch, self.parameters, seed))
        if self.blocks is None:
            self.gather()

    def gather(self) -> None:
        """Make what brings several rows into one step, if anything does."""
        if "unit_key" in self.parameters:
            self.blocks = Units(int(self.parameters["gap"]))
        elif "pairs" in self.parameters:
            self.blocks = AucPairs(int(self.parameters["pairs"]))
        else:
            self.blocks = Blocks(self.block) if self.block > 1 else None

    def begin(self, pool: NDArray[np.float64] | None) -> None:
        """Arm for the first time; a pool of ranks begins with reference values, granted nothing."""
        self.arm()
        self.granted += float(self.parameters.get("head_start", 0.0))
        if pool is not None and len(pool):
            assert self.detector is not None
            values = codes_for(self.parameters, pool) if "codes" in self.parameters else pool
            self.detector.update(values, np.zeros((len(values), 1)))


def key_of(watch: Watch, signal: str, subject: str) -> str:
    """Key of a subject among those of a watch."""
    return subject if signal == watch.signal else f"{signal} {subject}"


def codes_for(parameters: Json, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Codes of categories as the detector counts them: the frequent, then others, then unseen."""
    top = np.array(parameters["codes"], np.int64)
    order = np.argsort(top)
    whole = values.astype(np.int64)
    place = np.minimum(np.searchsorted(top[order], whole), len(top) - 1)
    found = top[order][place] == whole
    known = np.isin(whole, np.array(parameters["known"], np.int64))
    rest = np.where(known, len(top), len(top) + 1)
    return np.where(found, order[place], rest).astype(np.float64)


def _save(one: Subject) -> _Saved:
    return _Saved(
        SAVED_VERSION,
        b"" if one.detector is None else one.detector.to_bytes(),
        b"" if one.blocks is None else one.blocks.to_bytes(),
        one.pending_grant,
        b"" if one.partial is None else one.partial[0].bytes,
        0 if one.partial is None else one.partial[1],
        one.learned,
        one.learned_sum,
        one.values.tobytes(),
        one.at.tobytes(),
        one.ids.tobytes(),
        (one.sums.n, one.sums.total, one.sums.squares),
        one.learned_values.tobytes(),
        one.skipped,
        one.told_at,
        one.waiting.to_parts(),
        b"" if one.timing is None else one.timing.to_bytes(),
        b"" if one.fault is None else one.fault.to_bytes(),
        one.learned_at.tobytes(),
    )


def _load(made: Subject, saved: _Saved) -> None:
    if saved.detector:
        made.arm()
        assert made.detector is not None
        made.detector.restore(saved.detector)
    elif saved.blocks:
        made.gather()
    if made.blocks is not None and saved.blocks:
        made.blocks.restore(saved.blocks)
    made.pending_grant = saved.pending_grant
    made.partial = (UUID(bytes=saved.partial_id), saved.partial_at) if saved.partial_id else None
    made.learned, made.learned_sum = saved.learned, saved.learned_sum
    made.values = np.frombuffer(saved.values, np.float64)
    made.at = np.frombuffer(saved.at, np.int64)
    made.ids = np.frombuffer(saved.ids, "S16")
    made.sums = Sums(*saved.sums)
    made.learned_values = np.frombuffer(saved.learned_values, np.float64)
    made.skipped = saved.skipped
    made.told_at = saved.told_at
    made.waiting = Waiting.from_parts(saved.waiting)
    made.learned_at = np.frombuffer(saved.learned_at, np.int64)
    made.fault = Fault.from_bytes(saved.fault) if saved.fault else None
    if saved.timing:
        looks = looks_at_delay(made.watch)
        made.timing = Timing.from_bytes(saved.timing, looks_at_delay=looks)


def to_rows(subjects: Iterable[Subject]) -> list[WatchState]:
    """All subjects of one watch as they are kept: the members of a family share a row."""
    by_subject: dict[str, list[Subject]] = {}
    for one in subjects:
        by_subject.setdefault(one.subject, []).append(one)
    rows = []
    for members in by_subject.values():
        plain = len(members) == 1 and members[0].signal == members[0].watch.signal
        rows.append(_plain_row(members[0]) if plain else _family_row(members))
    return rows


def _plain_row(one: Subject) -> WatchState:
    return WatchState(
        one.watch.id,
        one.subject,
        one.status,
        one.reason,
        one.parameters,
        msgspec.msgpack.encode(_save(one)),
        one.observations,
        one.granted,
        one.alarms,
        one.statistic,
        one.last_observed_at,
        one.started_at,
        {
            "trace": one.trace.to_json(),
            "mean": one.sums.interval(rows_per_step=one.block, scale=one.scale, signed=one.signed),
        },
    )


_ORDER = ("armed", "learning", "refused")


def _family_row(members: list[Subject]) -> WatchState:
    first = members[0]
    packed = [
        _Member(
            one.signal,
            one.status,
            one.reason,
            one.parameters,
            _save(one),
            one.observations,
            one.granted,
            one.alarms,
            one.statistic,
            None if one.last_observed_at is None else to_micros(one.last_observed_at),
            None if one.started_at is None else to_micros(one.started_at),
            one.trace.to_json(),
        )
        for one in members
    ]
    status = min((one.status for one in members), key=_ORDER.index)
    worst = max(members, key=lambda one: one.statistic)
    refused = [one.signal for one in members if one.status == "refused"]
    reason = next((one.reason for one in members if one.status == status), None)
    if status == "armed" and refused:
        reason = f"Not watched: {', '.join(refused)}."
    return WatchState(
        first.watch.id,
        first.subject,
        status,
        reason,
        {"members": len(members), "head_start": sum(_head_start(one) for one in members)},
        msgspec.msgpack.encode(packed),
        max(one.observations for one in members),
        sum(one.granted for one in members),
        sum(one.alarms for one in members),
        worst.statistic,
        max((one.last_observed_at for one in members if one.last_observed_at), default=None),
        min((one.started_at for one in members if one.started_at), default=None),
        {
            "leading": worst.signal,
            "members": {
                one.signal: {
                    "status": one.status,
                    "status_reason": one.reason,
                    "statistic": one.statistic,
                    "observations": one.observations,
                    "alarms": one.alarms,
                    "mean": _mean(one),
                    "unit": one.parameters.get("unit"),
                }
                for one in members
            },
        },
    )


def _head_start(one: Subject) -> float:
    """What it began with; nothing before it began."""
    return min(one.granted, float(one.parameters.get("head_start", 0.0)))


def _mean(one: Subject) -> float | None:
    return one.sums.total / one.sums.n * one.scale if one.sums.n else None


def new_subject(
    watch: Watch,
    signal: str,
    subject: str,
    resolved: Resolved,
    pool: NDArray[np.float64] | None = None,
) -> Subject:
    """Begin to watch a subject."""
    made = Subject(watch, signal, subject, resolved.status, resolved.reason, resolved.parameters)
    if watch.signal.endswith(FAMILY):
        made.trace = Trace(most=MEMBER_POINTS)
    if resolved.status == "armed":
        made.begin(pool)
    elif resolved.status == "learning" and resolved.parameters.keys() & {"unit_key", "pairs"}:
        # What is learned are steps, so rows are brought into steps from the first on.
        made.gather()
    return made


def looks_at_delay(watch: Watch) -> bool:
    """Whether a rollback watch must ask if delays tell the loss."""
    settings = settings_of(watch)
    return settings.mature_after is None and not settings.independent_delay


def from_row(watch: Watch, row: WatchState) -> list[Subject]:
    """Go on where the last turn stopped."""
    if not watch.signal.endswith(FAMILY):
        made = Subject(
            watch, watch.signal, row.subject, row.status, row.status_reason, row.parameters
        )
        _load(made, msgspec.msgpack.decode(row.state, type=_Saved))
        made.trace = Trace.from_json(row.summary.get("trace", {}))
        made.observations, made.granted, made.alarms = row.observations, row.granted, row.alarms
        made.statistic = row.statistic
        made.last_observed_at, made.started_at = row.last_observed_at, row.started_at
        return [made]
    members = []
    for saved in msgspec.msgpack.decode(row.state, type=list[_Member]):
        made = Subject(
            watch, saved.signal, row.subject, saved.status, saved.reason, saved.parameters
        )
        _load(made, saved.saved)
        made.trace = Trace.from_json(saved.trace)
        made.observations, made.granted = saved.observations, saved.granted
        made.alarms, made.statistic = saved.alarms, saved.statistic
        made.last_observed_at = None if saved.last_us is None else from_micros(saved.last_us)
        made.started_at = None if saved.started_us is None else from_micros(saved.started_us)
        members.append(made)
    return members


def seen(subject: Subject, at: NDArray[np.int64]) -> None:
    """Move the subject's times on."""
    subject.started_at = subject.started_at or from_micros(int(at.min()))
    last = int(at.max())
    if subject.last_observed_at is None or last > to_micros(subject.last_observed_at):
        subject.last_observed_at = from_micros(last)
