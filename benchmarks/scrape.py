"""What a scrape costs with 200 applications, and how long serving's keeps others waiting.

Run ``python benchmarks/scrape.py [--json FILE]``.

A page is written as the service does it, in its event loop, while another task takes its turn as
often as it gets one: the longest pause between two of its turns is what a prediction may have to
wait. The peer is prometheus_client, given the same lines as its own families. The limit is 20 ms,
of serving's page and of the monitor's; one that is missed ends it with status 1. A process' first
page takes longer, since labels are written once and kept.

The monitor gives a scrape its last reading of the record, and what its process counts: that is what
is measured, with three watches of each application that have alarmed. What the reading itself takes
beside the loop, but for Postgres, is told as well.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# Python looks first into the folder of the program, where another benchmark is called `serving`.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

from monitor import metrics as monitor_metrics  # noqa: E402
from monitor.watches.watch import DEFAULT_WATCHES  # noqa: E402
from serving import scrape  # noqa: E402
from serving.batching import BATCH_BOUNDS, BatchQueue, State  # noqa: E402
from serving.counters import AnswerCounts  # noqa: E402
from serving.exposition import Fronts, Page, text, written  # noqa: E402
from serving.histogram import Histogram  # noqa: E402
from serving.shipping import Lag  # noqa: E402

APPLICATIONS, VERSIONS, TIMES = 200, 2, 40
LIMIT_SECONDS = 0.020


def busy_counts() -> dict[str, AnswerCounts]:
    """Applications that have answered with two versions, with defaults, refusals and changes."""
    made: dict[str, AnswerCounts] = {}
    for number in range(APPLICATIONS):
        counts = made[f"application-{number:03d}"] = AnswerCounts()
        for version in range(1, VERSIONS + 1):
            ref = f"model-{number:03d}:{version}"
            for step in range(200):
                counts.histogram(ref).observe(0.0004 * 1.05**step)
            counts.defaults[ref, 1] = 3
            counts.refused[ref] = 1
        for kind in ("change", "rollback"):
            counts.changed(kind, 0.4)
            counts.ended(kind, 0.1)
    return made


def queues() -> list[BatchQueue]:
    """What `scrape.replicas` reads of a queue, without replicas behind it."""
    rows = Histogram(BATCH_BOUNDS)
    for size in (1, 3, 8, 60):
        rows.observe(size)
    return [
        cast(
            BatchQueue,
            SimpleNamespace(
                version=SimpleNamespace(ref=f"model-{number:03d}:{version}"),
                waiting=3, in_flight=8, state=State.READY, ready=1, restarts=0, batch_rows=rows,
                cache=None,
            ),
        )
        for number in range(APPLICATIONS)
        for version in range(1, VERSIONS + 1)
    ]  # fmt: skip


def monitor() -> dict[str, float]:
    """Times of the monitor's two parts of a page."""
    watches = [form.name for form in DEFAULT_WATCHES]
    for number in range(APPLICATIONS):
        name = f"application-{number:03d}"
        for watch in watches:
            monitor_metrics.THRESHOLD.labels(name, watch).set(1)
            for version in range(1, VERSIONS + 1):
                labels = name, watch, f"model-{number:03d}:{version}", "", "page"
                monitor_metrics.STATISTIC.labels(*labels).set(0.1 * version)
            monitor_metrics.WATCHES.labels(name, watch, "page", "armed").set(VERSIONS)
        for watch in watches[:3]:
            monitor_metrics.ALARMS.labels(name, watch, "page").inc()
    took = {}
    for part, registry in (
        ("scrape", monitor_metrics.PROCESS),
        ("reading", monitor_metrics.RECORD),
    ):
        times = []
        for _ in range(11):
            start = time.perf_counter()
            generate_latest(registry)
            times.append(time.perf_counter() - start)
        took[f"monitor_{part}_seconds"] = statistics.median(times)
    return took


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


async def measure() -> dict[str, Any]:
    """Times in seconds."""
    counts, waiting, fronts = busy_counts(), queues(), Fronts()

    def parts(page: Page) -> Iterator[None]:
        yield from scrape.about(page)
        yield from scrape.answers(page, counts, {one.version.ref for one in waiting})
        yield from scrape.revisions(page, dict.fromkeys(counts, 3))
        yield from scrape.replicas(page, waiting)
        yield from scrape.record(
            page, Lag(10, 2_000, 0.1, True), limit=1 << 30, shipped=9, failures=0, refused=0
        )

    gaps: list[float] = []

    async def others() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    took, used, longest, body = [], [], [], b""
    for _ in range(TIMES + 1):
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        gaps.clear()
        start, began = time.perf_counter(), time.process_time()
        page = Page(fronts)
        await written(parts(page))
        body = text([await page.families()])
        took.append(time.perf_counter() - start)
        used.append(time.process_time() - began)
        await asyncio.sleep(0)
        longest.append(max(gaps))
        task.cancel()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(list(text_string_to_metric_families(body.decode()))))
    peer = []
    for _ in range(5):
        start = time.perf_counter()
        generate_latest(registry)
        peer.append(time.perf_counter() - start)
    return {
        "applications": APPLICATIONS,
        "lines": body.count(b"\n"),
        "bytes": len(body),
        "first_seconds": took[0],
        "seconds": statistics.median(took[1:]),
        "processor_seconds": statistics.median(used[1:]),
        "longest_wait_seconds": statistics.median(longest[1:]),
        "prometheus_client_seconds": statistics.median(peer),
        "share_of_limit": statistics.median(took[1:]) / LIMIT_SECONDS,
        "times_prometheus_client": statistics.median(took[1:]) / statistics.median(peer),
    }


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(measure()) | monitor()
    print(f"{found['lines']} lines, {found['bytes'] / 1e6:.2f} MB, {APPLICATIONS} applications")
    for name in ("first", "", "processor", "longest_wait", "prometheus_client", "monitor_scrape",
                 "monitor_reading"):  # fmt: skip
        key = f"{name}_seconds".lstrip("_")
        print(f"{key.removesuffix('_seconds').replace('_', ' '):20} {1e3 * found[key]:8.2f} ms")
    print(f"of the limit {found['share_of_limit']:.2f}, "
          f"of prometheus_client {found['times_prometheus_client']:.2f}")  # fmt: skip
    missed = []
    for part, key in (("serving", "seconds"), ("monitor", "monitor_scrape_seconds")):
        met = found[key] < LIMIT_SECONDS
        print(f"{part}: {1e3 * found[key]:.1f} of {1e3 * LIMIT_SECONDS:.0f} ms: "
              f"{'met' if met else 'MISSED'}")  # fmt: skip
        missed += [] if met else [part]
    if arguments.json:
        load = [round(one, 2) for one in os.getloadavg()]
        found |= {"limit_seconds": LIMIT_SECONDS, "missed": missed, "load_average": load}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
