"""What a scrape reads: the numbers of the moment, written part by part.

Everything here looks at plain numbers that the hot path counts. It runs in the event loop and stops
after each application and each version, so what it goes through may change in between: lists are
copied first.
"""

import platform
from collections.abc import Container, Iterable, Iterator, Mapping
from importlib import metadata

from prometheus_client import ProcessCollector

from serving import metrics
from serving.batching import BATCH_BOUNDS, BatchQueue, Outcome, State
from serving.counters import AnswerCounts
from serving.exposition import Page
from serving.histogram import Histogram
from serving.shipping import Lag

_PROCESS = {
    "process_cpu_seconds": metrics.CPU_SECONDS,
    "process_resident_memory_bytes": metrics.MEMORY_BYTES,
    "process_open_fds": metrics.OPEN_FILES,
    "process_start_time_seconds": metrics.STARTED_AT,
}
_ABOUT = (metadata.version("leadsman"), platform.python_version())


def about(page: Page) -> Iterator[None]:
    """The process: its versions, and what it uses."""
    page.number(metrics.INFO, 1, *_ABOUT)
    # prometheus_client's own name for the collector of one's own process reads /proc.
    for family in ProcessCollector(registry=None).collect():
        declared = _PROCESS.get(family.name)
        if declared is not None:
            page.number(declared, family.samples[0].value)
    yield


def answers(page: Page, counts: Mapping[str, AnswerCounts], kept: Container[str]) -> Iterator[None]:
    """What applications answered by the versions that are kept, and what changing routes took."""
    for name, count in list(counts.items()):
        count.forget(kept)
        for version, latency in list(count.latency.items()):
            page.histogram(metrics.LATENCY, latency, name, version)
        for (version, reason), n in list(count.defaults.items()):
            page.number(metrics.DEFAULTS, n, name, version, Outcome(reason).name.lower())
        for version, n in list(count.shadows.items()):
            page.number(metrics.SHADOWS, n, name, version)
        for (version, reason), n in list(count.shadows_lost.items()):
            why = Outcome(reason).name.lower() if reason else "not_recorded"
            page.number(metrics.SHADOWS_LOST, n, name, version, why)
        page.number(metrics.ERRORS, count.errors, name)
        for version, n in list(count.refused.items()):
            page.number(metrics.REFUSED, n, name, version)
        _members(page, name, count)
        for kind, seconds in list(count.changes.items()):
            page.histogram(metrics.ROUTE_CHANGE, seconds, name, kind)
        for kind, seconds in list(count.last_answers.items()):
            page.histogram(metrics.LAST_ANSWER, seconds, name, kind)
        yield


def _members(page: Page, name: str, count: AnswerCounts) -> None:
    members = count.members
    for version, n in list(members.answered.items()):
        page.number(metrics.MEMBERS, n, name, version)
    for (version, reason), n in list(members.missing.items()):
        page.number(metrics.MEMBERS_MISSING, n, name, version, Outcome(reason).name.lower())
    if any(members.agreement.buckets):
        page.histogram(metrics.AGREEMENT, members.agreement, name)


def revisions(page: Page, in_force: Mapping[str, int]) -> Iterator[None]:
    """Which revision is in force, by application."""
    for name, revision in in_force.items():
        page.number(metrics.REVISION, revision, name)
    yield


def replicas(page: Page, queues: Iterable[BatchQueue]) -> Iterator[None]:
    """What waits, and who answers. A version that reads rows of two forms has two queues."""
    by_version: dict[str, list[BatchQueue]] = {}
    for queue in queues:
        by_version.setdefault(queue.version.ref, []).append(queue)
    for ref, group in by_version.items():
        page.number(metrics.WAITING_ROWS, sum(queue.waiting for queue in group), ref)
        page.number(metrics.IN_FLIGHT_ROWS, sum(queue.in_flight for queue in group), ref)
        ready = int(all(queue.state == State.READY for queue in group))
        page.number(metrics.REPLICA_READY, ready, ref)
        page.number(metrics.REPLICAS_READY, sum(queue.ready for queue in group), ref)
        page.number(metrics.REPLICA_RESTARTS, sum(queue.restarts for queue in group), ref)
        rows = Histogram(BATCH_BOUNDS)
        for queue in group:
            rows = rows.plus(queue.batch_rows)
        page.histogram(metrics.BATCH_ROWS, rows, ref)
        caches = [queue.cache for queue in group if queue.cache is not None]
        if caches:
            page.number(metrics.CACHE_HITS, sum(cache.hits for cache in caches), ref)
            page.number(metrics.CACHE_MISSES, sum(cache.misses for cache in caches), ref)
            page.number(metrics.CACHE_BYTES, sum(cache.size for cache in caches), ref)
        yield


def record(
    page: Page, lag: Lag, *, limit: int, shipped: int, failures: int, refused: int
) -> Iterator[None]:
    """How far Postgres is behind."""
    page.number(metrics.JOURNAL_ROWS, lag.rows)
    page.number(metrics.JOURNAL_BYTES, lag.size)
    page.number(metrics.JOURNAL_LIMIT_BYTES, limit)
    page.number(metrics.SHIPPING_LAG_SECONDS, lag.seconds)
    page.number(metrics.REFUSED_ROWS, refused)
    page.number(metrics.DATABASE_CONNECTED, int(lag.connected))
    page.number(metrics.SHIPPED_ROWS, shipped)
    page.number(metrics.SHIPPING_FAILURES, failures)
    yield
