"""Names of everything that serving measures, once. Dashboards and alert rules are made from them.

Labels are bounded: names of applications, versions in service, and reasons from fixed lists. Times
are in seconds and sizes in bytes, as Prometheus has it. With several workers each series carries
its `worker` as well. What reads the numbers is `serving.scrape`.
"""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "leadsman_serving"
WORKER = "worker"
"""Label of each series where several workers share a port."""


class Kind(StrEnum):
    """What a number is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric: its name as people write it, without the suffixes of its kind."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _counter(name: str, help: str, *labels: str) -> Declared:
    return Declared(f"{PREFIX}_{name}", Kind.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Declared:
    return Declared(f"{PREFIX}_{name}", Kind.GAUGE, help, labels)


def _histogram(name: str, help: str, *labels: str) -> Declared:
    return Declared(f"{PREFIX}_{name}", Kind.HISTOGRAM, help, labels)


INFO = Declared(PREFIX, Kind.INFO, "Versions of the service and of Python.", ("version", "python"))

# What applications answered.
LATENCY = _histogram(
    "prediction_latency_seconds",
    "From arrival until the answer was ready; its count is all answers, default or not.",
    "application", "version",
)  # fmt: skip
DEFAULTS = _counter(
    "default_answers", "Answers that were the application's default output.",
    "application", "version", "reason",
)  # fmt: skip
SHADOWS = _counter("shadow_answers", "Recorded answers of shadows.", "application", "version")
SHADOWS_LOST = _counter(
    "shadow_answers_lost", "Shadows that were asked and not recorded.",
    "application", "version", "reason",
)  # fmt: skip
MEMBERS = _counter(
    "member_answers", "Answers of versions that were asked together with others.",
    "application", "version",
)  # fmt: skip
MEMBERS_MISSING = _counter(
    "member_answers_missing", "Versions that were asked together with others and took no part.",
    "application", "version", "reason",
)  # fmt: skip
AGREEMENT = _histogram(
    "ensemble_agreement", "Share of an ensemble's members that say what it says.", "application"
)
ERRORS = _counter(
    "failed_requests", "Requests or items that no prediction was made for.", "application"
)
REFUSED = _counter(
    "refused_requests",
    "Requests or items that were turned away, since the answer would come too late.",
    "application", "version",
)  # fmt: skip

# Routes.
REVISION = _gauge("route_revision", "Revision of the route in force.", "application")
ROUTE_CHANGE = _histogram(
    "route_change_seconds", "From the request for a route change to the switch.",
    "application", "kind",
)  # fmt: skip
LAST_ANSWER = _histogram(
    "route_last_answer_seconds",
    "From the request for a route change to the last answer by the route before, in this process.",
    "application", "kind",
)  # fmt: skip

# Replicas and what waits for them.
WAITING_ROWS = _gauge("queue_waiting_rows", "Rows that wait for a batch.", "version")
IN_FLIGHT_ROWS = _gauge("queue_in_flight_rows", "Rows that a replica has.", "version")
BATCH_ROWS = _histogram("batch_rows", "Rows of the batches that replicas were given.", "version")
REPLICA_READY = _gauge("replica_ready", "Whether the version's replica answers.", "version")
REPLICAS_READY = _gauge("replicas_ready", "Replicas that answer.", "version")
REPLICA_RESTARTS = _counter("replica_restarts", "Replicas that were replaced.", "version")
CACHE_HITS = _counter(
    "cache_hits",
    "Rows answered by a kept answer, or together with an equal row on its way.", "version",
)  # fmt: skip
CACHE_MISSES = _counter(
    "cache_misses", "Rows that a replica was asked for although there is a cache.", "version"
)
CACHE_BYTES = _gauge("cache_bytes", "Memory that kept answers take.", "version")

# The journal, and its way to Postgres.
JOURNAL_ROWS = _gauge("journal_rows", "Records that Postgres does not have yet.")
JOURNAL_BYTES = _gauge("journal_bytes", "Size of the records that Postgres does not have yet.")
JOURNAL_LIMIT_BYTES = _gauge(
    "journal_limit_bytes", "Size of the journal at which new requests get 503."
)
SHIPPING_LAG_SECONDS = _gauge(
    "shipping_lag_seconds", "Age of the oldest record that Postgres does not have."
)
SHIPPED_ROWS = _counter("shipped_rows", "Records that this process brought to Postgres.")
SHIPPING_FAILURES = _counter("shipping_failures", "Times that Postgres was lost or not reached.")
REFUSED_ROWS = _gauge("refused_rows", "Records that Postgres refused, set aside in the journal.")
DATABASE_CONNECTED = _gauge("database_connected", "Whether shipping has a connection to Postgres.")

# The process itself, in the words that all of Prometheus' clients use.
CPU_SECONDS = Declared("process_cpu_seconds", Kind.COUNTER, "Processor time that the process used.")
MEMORY_BYTES = Declared("process_resident_memory_bytes", Kind.GAUGE, "Memory that the process has.")
OPEN_FILES = Declared("process_open_fds", Kind.GAUGE, "Files and sockets that are open.")
STARTED_AT = Declared(
    "process_start_time_seconds", Kind.GAUGE, "When the process was started, since 1970."
)
