"""What an operator can set, as `SERVING_*` environment variables."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PostgresDsn, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.batch_size import Controller
from serving.batching import QueueOptions
from serving.cache import CacheLimits
from serving.launchers.base import LauncherKind
from serving.launchers.options import TASKS, DockerOptions
from serving.records import ReplicaPlan


def _seconds(value: object) -> object:
    """A plain number is seconds; pydantic takes one from JSON only, and variables are text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


NotNegative = Annotated[timedelta, BeforeValidator(_seconds), Field(ge=timedelta(0))]
"""As `Positive`, and also nothing."""
Positive = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=timedelta(0))]
"""Seconds (`60`), ISO 8601 (`PT1M`) or a clock (`0:01:00`)."""


class Settings(BaseSettings):
    """Everything that serving can be told. A wrong value stops the start."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_", frozen=True, use_attribute_docstrings=True, extra="ignore"
    )

    database_url: PostgresDsn
    """Postgres 15 or newer, as `postgresql://user:password@host:port/database`."""

    data_dir: Path = Path(".leadsman/serving")
    """Folder of the journal, the artefacts and the replicas' sockets and logs."""

    artefact_dir: Path | None = None
    """Folder of the artefacts, shared by all serving processes; in the data folder by default."""

    environment_dir: Path | None = None
    """Folder of the environments of versions, shared as above; in the data folder by default."""

    environment_installer: Literal["uv", "pip"] | None = None
    """What installs them: `uv`, or `pip` in a venv; uv by default where there is one."""

    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the listening port, each with a folder `worker-K` of its own."""

    worker: int = Field(default=0, ge=0, le=256)
    """Which of them this process is; set by the one that starts them."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    admin_key: SecretStr | None = None
    """A key with scope admin, known from the start: `lsm_` and 43 characters of base64url."""

    database_connections: int = Field(default=8, ge=2)
    """Connections to Postgres of the registry; the record takes its own."""

    journal_limit_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    """Size of the journal at which new requests get 503 until Postgres takes what is there."""

    launcher: LauncherKind = LauncherKind.PROCESS
    """What replicas run as: `process`, children of serving; `docker`, containers beside it;
    `kubernetes`, pods, as `SERVING_KUBERNETES_*` say."""

    replica_cpu: float | None = Field(default=None, gt=0, le=1024)
    """Processors of one replica of a version of which nothing else was said; none for no limit."""

    replica_memory_mb: int | None = Field(default=None, ge=64)
    """Memory in MiB of one replica of a version of which nothing else was said; as above."""

    replica_processes: int = Field(default=TASKS, ge=8)
    """Processes and threads of one replica, with all that its model starts; pods go by their
    node's limit."""

    docker_base_image: str = Field(default=DockerOptions.base_image, min_length=1)
    """Image that containers' environments begin with; `{python}` is the version's Python."""

    docker_network: str = Field(default=DockerOptions.network, min_length=1)
    """Network of containers: `none`; `own`, which leads nowhere; or the name of one that exists."""

    replica_python: Path | None = None
    """Interpreter of replicas whose manifest names none; the service's own by default."""

    replica_niceness: int = Field(default=0, ge=0, le=19)
    """By how much replicas give way to the serving process, which has the deadlines to keep."""

    batch_controller: Controller = Controller.LEARNED
    """How batches are sized: `learned` from the cost of earlier ones, or by `aimd`, a search."""

    cache_bytes: int = Field(default=0, ge=0)
    """Memory for kept answers of each version, for models that say the same twice; 0 for none."""

    cache_ttl: Positive = timedelta(seconds=60)
    """Age at which a kept answer is asked for again."""

    deploy_timeout: Positive = timedelta(seconds=60)
    """Longest time in which a version must start and answer a probe, in every serving process."""

    build_timeout: Positive = timedelta(minutes=30)
    """Longest time that a change waits for a version's environment or image to be built."""

    warm_revisions: int = Field(default=1, ge=1, le=20)
    """Good revisions before the one in force whose versions stay warm for a rollback."""

    retire_after: NotNegative = timedelta(0)
    """How long a version keeps its replicas once no route and no warm revision needs it."""

    revision_retention: Positive = timedelta(days=90)
    """How long the artefact of a deleted version is kept after a revision last named it."""

    drain_timeout: Positive = timedelta(seconds=10)
    """Longest time that a replica which is no longer needed gets for what it has begun."""

    request_limit_bytes: int = Field(default=8 * 1024**2, ge=1024)
    """Longest body of a request other than an artefact or reference rows."""

    rows_limit: int = Field(default=10_000, ge=1)
    """Most inputs or labels in one request. Inputs are worked off in pieces, between which other
    callers have their turn; their answers are held until the last one is there."""

    artefact_limit_bytes: int = Field(default=4 * 1024**3, ge=1024)
    """Longest artefact or set of reference rows, and what an archive may unpack to."""

    key_refresh_interval: Positive = timedelta(seconds=5)
    """How long a key that another process created or revoked may go unnoticed at most."""

    poll_interval: Positive = timedelta(seconds=2)
    """Pause between two looks at what other processes changed; a notification comes earlier."""

    @field_validator("admin_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (20 <= len(value.get_secret_value()) <= 200):
            raise ValueError("expected 20 to 200 characters")
        return value

    @property
    def queues(self) -> QueueOptions:
        """What is said of every queue."""
        cache = CacheLimits(self.cache_bytes, self.cache_ttl.total_seconds())
        return QueueOptions(self.batch_controller, cache)

    @property
    def usual_replicas(self) -> ReplicaPlan:
        """What a version has of which nothing was said."""
        return ReplicaPlan(1, self.replica_cpu, self.replica_memory_mb)

    @property
    def asyncpg_url(self) -> str:
        """The URL as asyncpg takes it."""
        return str(self.database_url).replace("postgresql+asyncpg://", "postgresql://", 1)

    @property
    def sqlalchemy_url(self) -> str:
        """The URL as SQLAlchemy takes it."""
        return self.asyncpg_url.replace("postgresql://", "postgresql+asyncpg://", 1)

    @property
    def artefacts(self) -> Path:
        """Folder of the stored artefacts."""
        return self.artefact_dir or self.data_dir / "artefacts"

    @property
    def environments(self) -> Path:
        """Folder of the environments."""
        return self.environment_dir or self.data_dir / "environments"

    @property
    def own_dir(self) -> Path:
        """Folder that no other process may use."""
        return self.data_dir / f"worker-{self.worker}" if self.worker else self.data_dir

    @property
    def replicas(self) -> Path:
        """Folder of the replicas' sockets and logs."""
        return self.own_dir / "replicas"
