"""A detector between two turns: from a row of watch_states to objects and back."""

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.base import Detector
from drift.catalog import create
from drift.means.blocks import Blocks
from monitor.columns import Ids
from monitor.evidence import Sums, Trace
from monitor.moments import from_micros, to_micros
from monitor.records import Json, Watch, WatchState
from monitor.watches import Resolved, detector_settings

RECENT = 512
"""Last steps that are kept one by one, so that an onset can be named and before be told from
after."""


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


SAVED_VERSION = 1


@dataclass(slots=True)
class Subject:
    """One detector of one watch at work on one subject."""

    watch: Watch
    subject: str
    status: str
    reason: str | None
    parameters: Json
    detector: Detector | None = None
    blocks: Blocks | None = None
    pending_grant: float = 0.0
    """Granted to rows that are not a whole block yet."""
    partial: tuple[UUID, int] | None = None
    """First row of the block begun, and its time."""
    learned: int = 0
    learned_sum: float = 0.0
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

    def arm(self) -> None:
        """Make the detector from the parameters."""
        # From names alone: numbers of rows differ between two runs over the same record.
        about = f"{self.watch.application_id} {self.watch.name} {self.subject}"
        seed = zlib.crc32(about.encode())
        self.detector = create(
            self.watch.detector, detector_settings(self.watch, self.parameters, seed)
        )
        self.blocks = Blocks(self.block) if self.block > 1 else None
        self.granted += float(self.parameters.get("head_start", 0.0))

    def to_row(self) -> WatchState:
        """As it is kept."""
        saved = _Saved(
            SAVED_VERSION,
            b"" if self.detector is None else self.detector.to_bytes(),
            b"" if self.blocks is None else self.blocks.to_bytes(),
            self.pending_grant,
            b"" if self.partial is None else self.partial[0].bytes,
            0 if self.partial is None else self.partial[1],
            self.learned,
            self.learned_sum,
            self.values.tobytes(),
            self.at.tobytes(),
            self.ids.tobytes(),
            (self.sums.n, self.sums.total, self.sums.squares),
        )
        return WatchState(
            self.watch.id,
            self.subject,
            self.status,
            self.reason,
            self.parameters,
            msgspec.msgpack.encode(saved),
            self.observations,
            self.granted,
            self.alarms,
            self.statistic,
            self.last_observed_at,
            self.started_at,
            {
                "trace": self.trace.to_json(),
                "mean": self.sums.interval(rows_per_step=self.block, scale=self.scale),
            },
        )


def new_subject(watch: Watch, subject: str, resolved: Resolved) -> Subject:
    """Begin to watch a subject."""
    made = Subject(watch, subject, resolved.status, resolved.reason, resolved.parameters)
    if resolved.status == "armed":
        made.arm()
    return made


def from_row(watch: Watch, row: WatchState) -> Subject:
    """Go on where the last turn stopped."""
    made = Subject(watch, row.subject, row.status, row.status_reason, row.parameters)
    saved = msgspec.msgpack.decode(row.state, type=_Saved)
    if saved.detector:
        made.arm()
        assert made.detector is not None
        made.detector.restore(saved.detector)
        if made.blocks is not None:
            made.blocks.restore(saved.blocks)
    made.pending_grant = saved.pending_grant
    made.partial = (UUID(bytes=saved.partial_id), saved.partial_at) if saved.partial_id else None
    made.learned, made.learned_sum = saved.learned, saved.learned_sum
    made.values = np.frombuffer(saved.values, np.float64)
    made.at = np.frombuffer(saved.at, np.int64)
    made.ids = np.frombuffer(saved.ids, "S16")
    made.sums = Sums(*saved.sums)
    made.trace = Trace.from_json(row.summary.get("trace", {}))
    made.observations, made.granted, made.alarms = row.observations, row.granted, row.alarms
    made.statistic = row.statistic
    made.last_observed_at, made.started_at = row.last_observed_at, row.started_at
    return made


def seen_until(subject: Subject, at: int) -> None:
    """Move the subject's times on."""
    moment = from_micros(at)
    subject.started_at = subject.started_at or moment
    if subject.last_observed_at is None or at > to_micros(subject.last_observed_at):
        subject.last_observed_at = moment
