"""Names of everything that serving measures, once.

Labels are bounded: names of applications, versions in service, and reasons from fixed lists. Times
are in seconds and sizes in bytes, as Prometheus has it. What the hot path counts are plain numbers;
`ServingCollector` reads them at each scrape.
"""

import platform
from collections.abc import Callable, Iterable
from importlib import metadata

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.batching import BatchQueue, Outcome, State
from serving.counters import LATENCY_BOUNDS, AnswerCounts
from serving.member_counts import AGREEMENT_BOUNDS, MemberCounts
from serving.shipping import Lag

PREFIX = "leadsman_serving"

INFO = PREFIX
"""`leadsman_serving_info`: versions of the service and of Python."""
LATENCY = f"{PREFIX}_prediction_latency_seconds"
"""From arrival until the answer was ready, by application and version; its count is all answers."""
DEFAULTS = f"{PREFIX}_default_answers"
"""Answers that were the default output, by application, version and reason."""
SHADOWS = f"{PREFIX}_shadow_answers"
"""Recorded answers of shadows, by application and version."""
SHADOWS_LOST = f"{PREFIX}_shadow_answers_lost"
"""Shadows that were asked and not recorded, by application, version and reason."""
MEMBERS = f"{PREFIX}_member_answers"
"""Answers of versions that were asked together with others, by application and version."""
MEMBERS_MISSING = f"{PREFIX}_member_answers_missing"
"""Versions asked together with others that took no part, by application, version and reason."""
AGREEMENT = f"{PREFIX}_ensemble_agreement"
"""Share of an ensemble's members that say what it says, by application."""
ERRORS = f"{PREFIX}_failed_requests"
"""Requests or items that no prediction was made for, by application."""
REFUSED = f"{PREFIX}_refused_requests"
"""Requests or items that got 503: the answer would have come too late; by application, version."""
CACHE_HITS = f"{PREFIX}_cache_hits"
"""Rows answered by a kept answer, or together with an equal row on its way; by version."""
CACHE_MISSES = f"{PREFIX}_cache_misses"
"""Rows that a replica was asked for although there is a cache, by version."""
CACHE_BYTES = f"{PREFIX}_cache_bytes"
"""Memory that kept answers take, by version."""
REPLICAS_READY = f"{PREFIX}_replicas_ready"
"""Replicas that answer, by version."""
REVISION = f"{PREFIX}_route_revision"
"""Revision in force, by application."""
WAITING_ROWS = f"{PREFIX}_queue_waiting_rows"
"""Rows that wait for a batch, by version."""
IN_FLIGHT_ROWS = f"{PREFIX}_queue_in_flight_rows"
"""Rows that a replica has, by version."""
REPLICA_READY = f"{PREFIX}_replica_ready"
"""1 where a version's replica answers, else 0."""
REPLICA_RESTARTS = f"{PREFIX}_replica_restarts"
"""Replicas that were replaced, by version."""
JOURNAL_ROWS = f"{PREFIX}_journal_rows"
"""Records that Postgres does not have yet."""
JOURNAL_BYTES = f"{PREFIX}_journal_bytes"
"""Their size."""
JOURNAL_LIMIT_BYTES = f"{PREFIX}_journal_limit_bytes"
"""Size at which new requests get 503."""
SHIPPING_LAG_SECONDS = f"{PREFIX}_shipping_lag_seconds"
"""Age of the oldest record that Postgres does not have."""
SHIPPED_ROWS = f"{PREFIX}_shipped_rows"
"""Records that this process brought to Postgres."""
SHIPPING_FAILURES = f"{PREFIX}_shipping_failures"
"""Times that Postgres was lost or not reached."""
REFUSED_ROWS = f"{PREFIX}_refused_rows"
"""Records that Postgres refused, set aside in the journal."""
DATABASE_CONNECTED = f"{PREFIX}_database_connected"
"""1 where shipping has a connection to Postgres, else 0."""
ROUTE_CHANGE_SECONDS = f"{PREFIX}_route_change_seconds"
"""From the request for a route change to the switch, by application and kind."""

ROUTE_CHANGES = Histogram(
    ROUTE_CHANGE_SECONDS,
    "From the request for a route change to the switch.",
    ["application", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60),
    registry=None,
)

LAST_ANSWER_SECONDS = f"{PREFIX}_route_last_answer_seconds"
"""From the request for a change to the last answer by the route before, by application and kind."""

LAST_ANSWER = Histogram(
    LAST_ANSWER_SECONDS,
    "From the request for a route change to the last answer by the route before, in this process.",
    ["application", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 3, 10, 30, 60),
    registry=None,
)

_DOCUMENTATION = {
    LATENCY: "From arrival until the answer was ready.",
    DEFAULTS: "Answers that were the application's default output.",
    SHADOWS: "Recorded answers of shadows.",
    SHADOWS_LOST: "Shadows that were asked and not recorded.",
    MEMBERS: "Answers of versions that were asked together with others.",
    MEMBERS_MISSING: "Versions that were asked together with others and took no part.",
    AGREEMENT: "Share of an ensemble's members that say what it says.",
    ERRORS: "Requests or items that no prediction was made for.",
    REFUSED: "Requests or items that were turned away, since the answer would come too late.",
    CACHE_HITS: "Rows answered by a kept answer, or together with an equal row on its way.",
    CACHE_MISSES: "Rows that a replica was asked for although there is a cache.",
    CACHE_BYTES: "Memory that kept answers take.",
    REPLICAS_READY: "Replicas that answer.",
    REVISION: "Revision of the route in force.",
    WAITING_ROWS: "Rows that wait for a batch.",
    IN_FLIGHT_ROWS: "Rows that a replica has.",
    REPLICA_READY: "Whether the version's replica answers.",
    REPLICA_RESTARTS: "Replicas that were replaced.",
    JOURNAL_ROWS: "Records that Postgres does not have yet.",
    JOURNAL_BYTES: "Size of the records that Postgres does not have yet.",
    JOURNAL_LIMIT_BYTES: "Size of the journal at which new requests get 503.",
    SHIPPING_LAG_SECONDS: "Age of the oldest record that Postgres does not have.",
    SHIPPED_ROWS: "Records that this process brought to Postgres.",
    SHIPPING_FAILURES: "Times that Postgres was lost or not reached.",
    REFUSED_ROWS: "Records that Postgres refused, set aside in the journal.",
    DATABASE_CONNECTED: "Whether shipping has a connection to Postgres.",
}


def _gauge(name: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, _DOCUMENTATION[name], labels=list(labels))


def _counter(name: str, labels: Iterable[str] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(name, _DOCUMENTATION[name], labels=list(labels))


def answers(counts: dict[str, AnswerCounts]) -> list[Metric]:
    """What applications answered."""
    latency = HistogramMetricFamily(
        LATENCY, _DOCUMENTATION[LATENCY], labels=["application", "version"]
    )
    defaults = _counter(DEFAULTS, ("application", "version", "reason"))
    shadows = _counter(SHADOWS, ("application", "version"))
    lost = _counter(SHADOWS_LOST, ("application", "version", "reason"))
    errors = _counter(ERRORS, ("application",))
    refused = _counter(REFUSED, ("application", "version"))
    members = _counter(MEMBERS, ("application", "version"))
    missing = _counter(MEMBERS_MISSING, ("application", "version", "reason"))
    agreement = HistogramMetricFamily(AGREEMENT, _DOCUMENTATION[AGREEMENT], labels=["application"])
    for name, count in counts.items():
        for version, histogram in count.latency.items():
            below, buckets = 0, []
            for bound, observed in zip((*LATENCY_BOUNDS, "+Inf"), histogram.buckets, strict=True):
                below += observed
                buckets.append((str(bound), below))
            latency.add_metric([name, version], buckets, histogram.total)
        for (version, reason), value in count.defaults.items():
            defaults.add_metric([name, version, Outcome(reason).name.lower()], value)
        for version, value in count.shadows.items():
            shadows.add_metric([name, version], value)
        for (version, reason), value in count.shadows_lost.items():
            why = Outcome(reason).name.lower() if reason else "not_recorded"
            lost.add_metric([name, version, why], value)
        errors.add_metric([name], count.errors)
        for version, value in count.refused.items():
            refused.add_metric([name, version], value)
        for version, value in count.members.answered.items():
            members.add_metric([name, version], value)
        for (version, reason), value in count.members.missing.items():
            missing.add_metric([name, version, Outcome(reason).name.lower()], value)
        if any(count.members.agreement):
            agreement.add_metric([name], *_agreements(count.members))
    return [latency, defaults, shadows, lost, errors, refused, members, missing, agreement]


def _agreements(counts: MemberCounts) -> tuple[list[tuple[str, float]], float]:
    """Cumulated buckets, and the sum."""
    below, buckets = 0, []
    for bound, observed in zip(AGREEMENT_BOUNDS, counts.agreement, strict=True):
        below += observed
        buckets.append((str(bound), float(below)))
    return [*buckets, ("+Inf", float(below))], counts.agreement_total


def replicas(queues: Iterable[BatchQueue]) -> list[Metric]:
    """What waits, and who answers. A version that reads rows of two forms has two queues."""
    metrics: list[Metric] = [
        waiting := _gauge(WAITING_ROWS, ["version"]),
        in_flight := _gauge(IN_FLIGHT_ROWS, ["version"]),
        ready := _gauge(REPLICA_READY, ["version"]),
        restarts := _counter(REPLICA_RESTARTS, ["version"]),
        answering := _gauge(REPLICAS_READY, ["version"]),
        hits := _counter(CACHE_HITS, ["version"]),
        misses := _counter(CACHE_MISSES, ["version"]),
        kept := _gauge(CACHE_BYTES, ["version"]),
    ]
    by_version: dict[str, list[BatchQueue]] = {}
    for queue in queues:
        by_version.setdefault(queue.version.ref, []).append(queue)
    for ref, group in by_version.items():
        waiting.add_metric([ref], sum(queue.waiting for queue in group))
        in_flight.add_metric([ref], sum(queue.in_flight for queue in group))
        ready.add_metric([ref], min(queue.state == State.READY for queue in group))
        restarts.add_metric([ref], sum(queue.restarts for queue in group))
        answering.add_metric([ref], sum(queue.ready for queue in group))
        caches = [queue.cache for queue in group if queue.cache is not None]
        if caches:
            hits.add_metric([ref], sum(cache.hits for cache in caches))
            misses.add_metric([ref], sum(cache.misses for cache in caches))
            kept.add_metric([ref], sum(cache.size for cache in caches))
    return metrics


def revisions(in_force: dict[str, int]) -> list[Metric]:
    """Which revision is in force, by application."""
    metric = _gauge(REVISION, ["application"])
    for name, revision in in_force.items():
        metric.add_metric([name], revision)
    return [metric]


def record(lag: Lag, *, limit: int, shipped: int, failures: int, refused: int) -> list[Metric]:
    """How far Postgres is behind."""
    gauges = {
        JOURNAL_ROWS: float(lag.rows),
        JOURNAL_BYTES: float(lag.size),
        JOURNAL_LIMIT_BYTES: float(limit),
        SHIPPING_LAG_SECONDS: lag.seconds,
        REFUSED_ROWS: float(refused),
        DATABASE_CONNECTED: float(lag.connected),
    }
    metrics: list[Metric] = []
    for name, value in gauges.items():
        gauge = _gauge(name)
        gauge.add_metric([], value)
        metrics.append(gauge)
    for name, value in ((SHIPPED_ROWS, shipped), (SHIPPING_FAILURES, failures)):
        counter = _counter(name)
        counter.add_metric([], value)
        metrics.append(counter)
    return metrics


class ServingCollector(Collector):
    """Gives the numbers of the moment at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Read everything."""
        info = InfoMetricFamily(INFO, "Versions of the service and of Python.")
        info.add_metric(
            [], {"version": metadata.version("leadsman"), "python": platform.python_version()}
        )
        yield info
        yield from self._read()


def registry(read: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """The registry of one process.

    Parameters
    ----------
    read
        Gives the numbers of the moment; runs in a thread, so it may only look.
    """
    made = CollectorRegistry(auto_describe=False)
    made.register(ServingCollector(read))
    made.register(ROUTE_CHANGES)
    made.register(LAST_ANSWER)
    return made
