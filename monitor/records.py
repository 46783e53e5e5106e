"""The values that the monitor's parts hand to one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from monitor.settings import Mode, Tier

DEFAULT, CACHED, SHADOW, PINNED = 1, 2, 4, 8
"""Bits of a prediction's flags, as serving writes them."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Place of a shipment in commit order."""

    xact_id: int
    shipment: int


START = Position(0, 0)
"""Before every shipment."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of an input, as the schema states it."""

    name: str
    kind: str
    """number, integer, boolean or string."""
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    """Bounds that the schema states."""

    @property
    def is_numeric(self) -> bool:
        """Whether its values have an order."""
        return self.kind in ("number", "integer")


@dataclass(frozen=True, slots=True)
class InputSchema:
    """One form of an application's input."""

    id: int
    application_id: int
    features: tuple[Feature, ...]
    encoding: str
    """float64: eight bytes a feature, null as NaN; json: an array."""


@dataclass(frozen=True, slots=True)
class Application:
    """What a client calls."""

    id: int
    name: str
    task: str
    latency_objective_ms: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """A version as routes name it."""

    id: int
    model: str
    version: str
    deleted: bool = False

    @property
    def name(self) -> str:
        """As routes write it, e.g. fraud:3."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of an application's route."""

    application_id: int
    revision: int
    kind: str
    restores: int | None
    policy: Json
    schema_id: int | None = None

    @property
    def champion(self) -> str | None:
        """Name of the version whose answers count; none where several share that."""
        champion = self.policy.get("champion")
        return champion if isinstance(champion, str) else None

    @property
    def challengers(self) -> tuple[str, ...]:
        """Names of the versions that want to be champion, or once were."""
        one, many = self.policy.get("challenger"), self.policy.get("challengers", ())
        return (one,) if isinstance(one, str) else tuple(many)

    @property
    def versions(self) -> frozenset[str]:
        """Names of all versions that answer, in shadow or not."""
        champion = (self.champion,) if self.champion else ()
        return frozenset((*champion, *self.challengers))


@dataclass(frozen=True, slots=True)
class Route:
    """All revisions of an application's route, in order."""

    revisions: tuple[Revision, ...]

    def at(self, revision: int) -> Revision | None:
        """The state with that number; they count from 1 without a gap."""
        if 1 <= revision <= len(self.revisions):
            return self.revisions[revision - 1]
        return None

    @property
    def current(self) -> Revision | None:
        """The state in force."""
        return self.revisions[-1] if self.revisions else None

    def was_champion_before(self, name: str, revision: int) -> bool:
        """Whether a version's answers counted in an earlier state."""
        return any(r.champion == name for r in self.revisions[: revision - 1])


@dataclass(frozen=True, slots=True)
class Registry:
    """What serving knows by name, read in the turn's transaction."""

    applications: Mapping[int, Application]
    versions: Mapping[int, Version]
    routes: Mapping[int, Route]
    schemas: Mapping[int, InputSchema] = field(default_factory=dict)

    def version_named(self, name: str) -> Version | None:
        """The version that a route calls model:version."""
        return next((v for v in self.versions.values() if v.name == name), None)

    def subject_name(self, subject: str) -> str:
        """A subject as people read it: names in place of numbers."""
        versions, _, segment = subject.partition("|")
        names = " against ".join(
            self.versions[int(part)].name if int(part) in self.versions else f"version {part}"
            for part in versions.split(",")
        )
        return f"{names} where {segment}" if segment else names


@dataclass(frozen=True, slots=True)
class Watch:
    """Signal × detector × false-alarm budget × what to do."""

    id: int
    application_id: int
    name: str
    signal: str
    detector: str
    tier: Tier
    settings: Json
    remedy: str
    mode: Mode
    origin: str
    enabled: bool
    clock: datetime | None = None
    """Time in the record up to which the budget has been granted."""
    rule: list[Json] | None = None
    """Steps of the remedy, in order; none where `remedy` alone is the rule."""
    failed_at: datetime | None = None
    """Moment of the record from which on it does not watch, since its evaluation failed there."""
    failure: str | None = None
    """What its evaluation failed with."""

    @property
    def is_watching(self) -> bool:
        """Whether rows are fed to it."""
        return self.enabled and self.failed_at is None


@dataclass(frozen=True, slots=True)
class WatchState:
    """One detector of a watch, as it is kept between turns."""

    watch_id: int
    subject: str
    status: str
    status_reason: str | None
    parameters: Json
    state: bytes
    observations: int = 0
    granted: float = 0.0
    alarms: int = 0
    statistic: float = 0.0
    last_observed_at: datetime | None = None
    started_at: datetime | None = None
    summary: Json = field(default_factory=dict)
    room: int = 0
    """Rows that may be put aside beside the state."""
    aside: bytes = b""
    """Those that are."""


@dataclass(frozen=True, slots=True)
class WatchAside:
    """Rows put aside beside a detector's state, with what they change of what people see."""

    watch_id: int
    subject: str
    room: int
    aside: bytes
    observations: int
    granted: float
    last_observed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A test rejects its null, with what a person needs to believe it."""

    watch_id: int
    application_id: int
    subject: str
    tier: Tier
    alarmed_at: datetime
    observation: int
    prediction_id: UUID
    onset_prediction_id: UUID | None
    onset_at: datetime | None
    statistic: float
    threshold: float
    evidence: Json
    repeats: bool = False
    """Whether it says again what an earlier one of its watch said, of a fault that lasts."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told."""

    id: int
    application_id: int
    subject: str
    kind: str
    tier: Tier
    state: str
    title: str
    detail: Json
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    inhibited_by: int | None = None
    """The worse open alert that explains it."""
    told_at: datetime | None = None
    """When people were last told that it stands."""
    recovery: Json | None = None
    """The test of whether its cause is gone."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Deliveries about an application held back until an end, by somebody, for a reason."""

    id: int
    application_id: int
    kind: str | None
    """The kind of alert that it is about; none for all."""
    until: datetime
    author: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Remedy:
    """One decision to change a route."""

    id: int
    application_id: int
    alarm_id: int
    alert_id: int | None
    kind: str
    mode: Mode
    state: str
    state_reason: str | None
    from_revision: int
    request: Json
    idempotency_key: UUID
    attempts: int
    next_attempt_at: datetime | None
    decided_at: datetime
    acted_at: datetime | None
    to_revision: int | None
    outcome: str | None
    outcome_detail: Json | None
    rule: list[Json] | None = None
    """All steps of the watch's rule, as they were at the decision."""
    step: int = 0
    """Which of them this is."""
    follows: int | None = None
    """The remedy that did not help, or that this one completes."""
    route_check: Json | None = None
