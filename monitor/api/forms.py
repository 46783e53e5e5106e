"""Forms of bodies and answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitor.alerts.detail import ordered
from monitor.alerts.telling import alert_data
from monitor.alerts.text import text_of
from monitor.records import Alert, Registry, Remedy, Silence, Watch
from monitor.remedies.rules import Kind, Rule, Step, steps_of
from monitor.settings import Mode, Tier
from monitor.watches.watch import WatchSettings


class Form(BaseModel):
    """A body: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class WatchRequest(Form):
    """A watch to make."""

    application: str
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    signal: Annotated[str, Field(max_length=200, examples=["loss", "feature.income", "metric.*"])]
    """A signal, a family of them that ends with .*, or one member of a family."""
    detector: Annotated[str, Field(max_length=63, examples=["bounded-mean", "ranks"])]
    tier: Tier
    settings: WatchSettings = WatchSettings()
    remedy: Kind | Step | Rule = "notify"
    """What an alarm sets off: a kind, a step with its settings, or steps of which the next is taken
    where the one before did not help."""
    mode: Mode = Mode.PROPOSE


class WatchChange(Form):
    """What may change of a watch. New settings or another tier begin its tests anew."""

    tier: Tier | None = None
    settings: WatchSettings | None = None
    remedy: Kind | Step | Rule | None = None
    mode: Mode | None = None
    enabled: bool | None = None


class WatchAnswer(BaseModel):
    """A watch."""

    id: int
    application: str
    name: str
    signal: str
    detector: str
    tier: Tier
    settings: dict[str, Any]
    remedy: str
    rule: list[dict[str, Any]]
    """All steps of the remedy with their settings."""
    mode: Mode
    origin: str
    enabled: bool
    failed_at: AwareDatetime | None
    """Moment of the record from which on it does not watch, since its evaluation failed; any change
    that leaves it enabled starts it anew."""
    failure: str | None
    """What it failed with."""
    budget_per_year: float | None

    @classmethod
    def of(cls, watch: Watch, application: str, budget: float | None) -> "WatchAnswer":
        """From the record."""
        return cls(
            id=watch.id,
            application=application,
            name=watch.name,
            signal=watch.signal,
            detector=watch.detector,
            tier=watch.tier,
            settings=watch.settings,
            remedy=watch.remedy,
            rule=steps_of(watch),
            mode=watch.mode,
            origin=watch.origin,
            enabled=watch.enabled,
            failed_at=watch.failed_at,
            failure=watch.failure,
            budget_per_year=budget,
        )


class AlertEventAnswer(BaseModel):
    """One line of an alert's history."""

    at: datetime
    event: str
    actor: str
    detail: dict[str, Any]


SHOWN_OF_A_TEST = ("says", "null", "alpha", "rows", "steps", "statistic", "threshold")
"""Parts of a test of recovery that mean something to people."""


class StandingAnswer(BaseModel):
    """A remedy that another alert of the same version set off and that still stands."""

    remedy: int
    alert: int
    kind: str
    from_version: str | None
    to_version: str | None
    state: str
    """proposed, decided, approved, acted; of one whose outcome is known the outcome."""
    reason: str | None

    @classmethod
    def of(cls, told: dict[str, Any]) -> "StandingAnswer":
        """From what `read_standing` tells."""
        same = ("remedy", "alert", "kind", "state", "reason")
        return cls(
            from_version=told["from"], to_version=told["to"], **{name: told[name] for name in same}
        )


class AlertAnswer(BaseModel):
    """An alert; `detail` tells what, since when, how sure, how bad, where, what was done, link."""

    id: int
    application: str
    title: str
    state: str
    tier: Tier
    kind: str
    subject: str
    versions: str
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    group: str
    """Application and version: alerts of one group are likely one story."""
    inhibited_by: int | None
    """The worse alert that explains this one; nobody is told of it meanwhile."""
    told_at: datetime | None
    """When people were last told that it stands; none while that is held back."""
    recovery: dict[str, Any] | None
    """The test that will resolve it, and where it stands."""
    detail: dict[str, Any]
    standing: list[StandingAnswer]
    """What was set off by other alerts of the same version, as far as it stands."""
    text: str
    """The same in sentences."""

    @classmethod
    def of(
        cls, alert: Alert, registry: Registry, standing: Sequence[dict[str, Any]]
    ) -> "AlertAnswer":
        """From the record."""
        name = registry.applications[alert.application_id].name
        told = alert_data(alert, name, standing)
        test = alert.recovery
        return cls(
            id=alert.id,
            application=name,
            title=alert.title,
            state=alert.state,
            tier=alert.tier,
            kind=alert.kind,
            subject=alert.subject,
            versions=registry.subject_name(alert.subject),
            opened_at=alert.opened_at,
            updated_at=alert.updated_at,
            resolved_at=alert.resolved_at,
            group=told["group"],
            inhibited_by=alert.inhibited_by,
            told_at=alert.told_at,
            recovery=None if test is None else {k: test.get(k) for k in SHOWN_OF_A_TEST},
            detail=ordered(alert.detail),
            standing=[StandingAnswer.of(one) for one in standing],
            text=text_of(told),
        )


class AlertWhole(AlertAnswer):
    """An alert with its alarm's evidence and its history."""

    alarms: list[dict[str, Any]]
    events: list[AlertEventAnswer]


class Reason(Form):
    """Why somebody does something."""

    reason: str | None = None


class SilenceRequest(Form):
    """Deliveries to hold back. Alerts open and remedies act all the same."""

    application: str
    kind: str | None = None
    until: AwareDatetime
    reason: Annotated[str, Field(min_length=1)]


class SilenceAnswer(BaseModel):
    """A silence."""

    id: int
    application: str
    kind: str | None
    until: datetime
    author: str
    reason: str
    created_at: datetime

    @classmethod
    def of(cls, silence: Silence, registry: Registry) -> "SilenceAnswer":
        """From the record."""
        return cls(
            id=silence.id,
            application=registry.applications[silence.application_id].name,
            kind=silence.kind,
            until=silence.until,
            author=silence.author,
            reason=silence.reason,
            created_at=silence.created_at,
        )


HIDDEN = ("state", "settings", "detector", "rest")
"""What the test of an outcome keeps for itself."""


class RemedyAnswer(BaseModel):
    """What was done or is proposed, and how it turned out."""

    id: int
    application: str
    kind: str
    mode: Mode
    state: str
    state_reason: str | None
    alarm: int
    alert: int | None
    from_version: str | None
    to_version: str | None
    from_revision: int
    to_revision: int | None
    attempts: int
    decided_at: datetime
    acted_at: datetime | None
    outcome: str | None
    outcome_test: dict[str, Any] | None
    step: int
    steps: int
    follows: int | None
    route_check: dict[str, Any] | None

    @classmethod
    def of(cls, remedy: Remedy, registry: Registry) -> "RemedyAnswer":
        """From the record."""
        test = {**remedy.request.get("test", {}), **(remedy.outcome_detail or {})}
        shown = {k: v for k, v in test.items() if k not in HIDDEN}
        return cls(
            id=remedy.id,
            application=registry.applications[remedy.application_id].name,
            kind=remedy.kind,
            mode=remedy.mode,
            state=remedy.state,
            state_reason=remedy.state_reason,
            alarm=remedy.alarm_id,
            alert=remedy.alert_id,
            from_version=remedy.request.get("from"),
            to_version=remedy.request.get("to"),
            from_revision=remedy.from_revision,
            to_revision=remedy.to_revision,
            attempts=remedy.attempts,
            decided_at=remedy.decided_at,
            acted_at=remedy.acted_at,
            outcome=remedy.outcome,
            outcome_test=shown or None,
            step=remedy.step + 1,
            steps=len(remedy.rule or [None]),
            follows=remedy.follows,
            route_check=remedy.route_check,
        )


class WebhookRequest(Form):
    """Where alerts are to be sent."""

    url: Annotated[str, Field(max_length=2000)]
    """http(s), or for e-mail mailto: and one address."""
    format: Literal["generic", "alertmanager", "slack", "email"] | None = None
    """What deliveries look like; email for mailto:, else generic, when absent."""
    envelope: Literal["none", "cloudevents"] = "none"
    """cloudevents: the generic body in a structured envelope of CloudEvents 1.0."""
    applications: list[str] | None = None
    tiers: Annotated[list[Tier], Field(min_length=1)] = [Tier.ROLLBACK, Tier.PAGE]
    secret: Annotated[str, Field(pattern=r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$")] | None = None
    """Signs deliveries; made when absent."""


class WebhookAnswer(BaseModel):
    """A webhook, without its secret."""

    id: int
    url: str
    format: str
    envelope: str
    applications: list[str] | None
    tiers: list[Tier]
    created_at: datetime
    waiting: int = 0
    """Deliveries that are still tried."""
    dead: int = 0
    """Deliveries that were given up; `deliveries?state=dead` lists them."""


class WebhookMade(WebhookAnswer):
    """A webhook with its secret, which is shown this once."""

    secret: str


class AttemptAnswer(BaseModel):
    """One attempt to send a delivery."""

    attempt: int
    at: datetime
    status: int | None
    error: str | None
    duration_ms: float


class DeliveryAnswer(BaseModel):
    """One event sent to one webhook."""

    id: UUID
    event: str
    alert: int | None
    state: str
    attempts: list[AttemptAnswer]
    next_attempt_at: datetime | None
    created_at: datetime
    body: dict[str, Any]


class Queued(BaseModel):
    """A delivery that was put into the outbox."""

    delivery: UUID
