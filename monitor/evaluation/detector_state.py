"""A detector at work on one subject of a watch, with what is known of its steps."""

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

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
from monitor.feed.maturing import NO_IDS, NO_TIMES, NO_VALUES, Waiting
from monitor.moments import from_micros
from monitor.records import Json, Watch
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


NO_SUMS, NO_TRACE = Sums(), Trace()
"""What a new subject has; neither is changed in place, and a turn makes hundreds of subjects."""


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
    awake: Detector | None = None
    asleep: bytes = b""
    """The detector as it was saved: most rows of an idle application complete no step, so it is
    made when one is tested."""
    blocks: Blocks | Units | AucPairs | None = None
    pending_grant: float = 0.0
    """Granted to rows that are not a whole block yet."""
    partial: tuple[UUID, int] | None = None
    """First row of the block begun, and its time."""
    learned: int = 0
    learned_sum: float = 0.0
    learned_values: NDArray[np.float64] = field(default_factory=lambda: NO_VALUES)
    """First live values, while they are to become the reference or to tell the unit."""
    learned_at: NDArray[np.int64] = field(default_factory=lambda: NO_TIMES)
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
    values: NDArray[np.float64] = field(default_factory=lambda: NO_VALUES)
    at: NDArray[np.int64] = field(default_factory=lambda: NO_TIMES)
    ids: Ids = field(default_factory=lambda: NO_IDS)
    """The last steps: value, time and prediction of the first row of each."""
    sums: Sums = NO_SUMS
    """Over all steps."""
    trace: Trace = NO_TRACE
    observations: int = 0
    granted: float = 0.0
    alarms: int = 0
    statistic: float = 0.0
    last_observed_at: datetime | None = None
    started_at: datetime | None = None

    @property
    def detector(self) -> Detector | None:
        """What tests; none before it is armed."""
        if self.asleep:
            state = self.asleep
            self.arm()
            assert self.awake is not None
            self.awake.restore(state)
        return self.awake

    @property
    def is_made(self) -> bool:
        """Whether it has a detector."""
        return self.awake is not None or self.asleep != b""

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
        self.awake = create(self.kind, detector_settings(self.watch, self.parameters, seed))
        self.asleep = b""
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


def seen(subject: Subject, at: NDArray[np.int64]) -> None:
    """Move the subject's times on."""
    # One row is what idle applications bring, to hundreds of subjects.
    first, last = (at[0], at[0]) if len(at) == 1 else (at.min(), at.max())
    subject.started_at = subject.started_at or from_micros(int(first))
    latest = from_micros(int(last))
    if subject.last_observed_at is None or latest > subject.last_observed_at:
        subject.last_observed_at = latest
