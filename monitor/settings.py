"""Everything an operator can set, read from MONITOR_* variables."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[timedelta, Field(gt=timedelta(0))]
LongEnough = Annotated[timedelta, Field(ge=timedelta(days=2))]
BudgetAYear = Annotated[float, Field(gt=0, le=1000)]


class Tier(StrEnum):
    """How grave an alarm of a watch is; each tier has its own budget."""

    ROLLBACK = "rollback"
    PAGE = "page"
    INFO = "info"


class Mode(StrEnum):
    """How far a remedy may go by itself."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    ACT = "act"


class Settings(BaseSettings):
    """A wrong value stops the start, not the night."""

    model_config = SettingsConfigDict(
        env_prefix="MONITOR_", frozen=True, use_attribute_docstrings=True
    )

    database_url: str
    """Postgres of the record, as postgresql://user:password@host:port/name."""

    serving_url: str = "http://127.0.0.1:8000"
    """Serving's admin API, to which remedies are sent."""

    serving_key: SecretStr | None = None
    """Key with the scope admin; without one no remedy can act."""

    host: str = "127.0.0.1"
    """Address on which the API listens."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8001
    """Port on which the API listens."""

    poll_interval: Positive = timedelta(seconds=2)
    """Longest pause between two reads of the record; a notification wakes the monitor earlier."""

    turn_rows: Annotated[int, Field(ge=1)] = 60_000
    """Rows that one turn reads at most, a single larger group excepted."""

    shards: Annotated[int, Field(ge=1, le=256)] = 1
    """Parts into which the applications are spread over several monitors; fixed at the first start,
    changed by `leadsman monitor --reshard`."""

    lease_ttl: Annotated[timedelta, Field(ge=timedelta(milliseconds=500))] = timedelta(seconds=10)
    """Time after which the shards of a monitor that gives no sign of life are taken over."""

    series_step: Positive = timedelta(seconds=10)
    """Length of one stretch in the series behind a plot."""

    figures_pause: Positive = timedelta(seconds=10)
    """Pause between two readings of what the record says in numbers, while Prometheus asks; up to
    nine times as long where there is so much that reading it costs more than 0.5 % of a core."""

    remedy_mode: Mode = Mode.PROPOSE
    """Mode of default watches: whether an alarm may move traffic by itself."""

    remedy_cool_down: timedelta = timedelta(minutes=10)
    """Pause after a remedy acted before another may act on the same application."""

    remedy_patience: Positive = timedelta(days=7)
    """Time after which a remedy that fresh labels did not show to have helped counts as one that
    did not."""

    route_settle: Positive = timedelta(seconds=10)
    """Pause after a change before it is looked at whether the route changed everywhere."""

    route_patience: Positive = timedelta(minutes=2)
    """Time after which a route that did not change everywhere is paged."""

    retrain_patience: Positive = timedelta(days=1)
    """Longest wait for the version that a retraining webhook registers."""

    remedy_attempts: Annotated[int, Field(ge=1)] = 20
    """Calls to serving before a remedy counts as failed."""

    budget_rollback: BudgetAYear = 0.05
    """False alarms a year that all rollback watches of an application may raise together."""

    budget_page: BudgetAYear = 1.0
    """False alarms a year that all page watches of an application may raise together."""

    budget_info: BudgetAYear = 12.0
    """False alarms a year that all info watches of an application may raise together."""

    time_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Years of the watched world in one year of the record: 1, unless a past is played faster."""

    metric_modules: tuple[str, ...] = ("leadsman_metrics",)
    """Python modules whose functions watches may name as metrics, as a JSON list: to name one is to
    run it here."""

    webhook_allow_private: bool = False
    """Whether webhooks may lead to loopback and private networks."""

    webhook_timeout: Positive = timedelta(seconds=10)
    """Longest wait for one answer of a webhook."""

    webhook_patience: Positive = timedelta(days=1)
    """Time for which a delivery is tried before it is given up as dead."""

    webhook_first_pause: Positive = timedelta(seconds=1)
    """Pause after the first failed attempt; it doubles with each, up to a quarter of an hour."""

    smtp_host: str | None = None
    """Mail server that takes alerts for webhooks to mailto: addresses; none for no e-mail."""

    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Port of the mail server."""

    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the mail server is spoken to; none is for a server on this machine."""

    smtp_user: str | None = None
    """Name by which the mail server knows the monitor; none where it asks for none."""

    smtp_password: SecretStr | None = None
    """Password that goes with the name."""

    smtp_sender: str = "leadsman@localhost"
    """Address from which alerts come."""

    retention_predictions: LongEnough | None = None
    """Age after which days of predictions and their labels are dropped, once every shard has read
    them; none keeps them for good."""

    retention_tasks: dict[Literal["binary", "multiclass", "regression"], LongEnough | None] = {}
    """The same for the applications of one task, as JSON: {"regression": "P365D"}."""

    retention_points: LongEnough | None = timedelta(days=30)
    """Age after which the finest sums of signals are dropped; those of minutes and hours stay."""

    retention_minutes: Annotated[timedelta, Field(ge=timedelta(days=1))] | None = timedelta(
        days=400
    )
    """Age after which sums over minutes are dropped; those over hours stay for good."""

    retention_pause: Positive = timedelta(hours=1)
    """Pause between two looks at what is too old."""

    console_url: str = "http://127.0.0.1:8001"
    """Address under which people reach this monitor; links in alerts begin with it."""

    console_dir: Path | None = None
    """Folder of the console's files; without one the root answers 404."""

    log_level: str = "INFO"
    """Least level that is logged."""

    @property
    def series_step_us(self) -> int:
        """The same in microseconds."""
        return self.series_step // timedelta(microseconds=1)

    def budget(self, tier: Tier) -> float:
        """False alarms a year allowed to all watches of a tier together."""
        return {
            Tier.ROLLBACK: self.budget_rollback,
            Tier.PAGE: self.budget_page,
            Tier.INFO: self.budget_info,
        }[tier]
