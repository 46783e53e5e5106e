"""The text that Prometheus reads, against the parser and the text of its own client library."""

import asyncio
import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from serving import metrics, scrape
from serving.counters import LATENCY_BOUNDS, AnswerCounts
from serving.exposition import SLICE_SECONDS, Family, Fronts, Page, text, written
from serving.histogram import Histogram
from serving.metrics import Declared, Kind

GAUGE = Declared("some_value", Kind.GAUGE, "What it is.", ("name",))


def _page(worker: int = 0) -> Page:
    return Page(Fronts({"worker": str(worker)} if worker else None))


def _read(page: Page) -> dict[str, Metric]:
    body = text([asyncio.run(page.families())]).decode()
    return {family.name: family for family in text_string_to_metric_families(body)}


@given(st.text(max_size=30), st.floats())
def test_any_label_and_any_number_are_read_back_as_they_were(label: str, value: float) -> None:
    label = label.encode("utf-8", "replace").decode()
    page = _page()
    page.number(GAUGE, value, label)

    class Given(Collector):
        def collect(self) -> list[Metric]:
            family = GaugeMetricFamily(GAUGE.name, GAUGE.help, labels=["name"])
            family.add_metric([label], value)
            return [family]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Given())
    theirs = {
        one.name: one for one in text_string_to_metric_families(generate_latest(registry).decode())
    }
    (sample,) = _read(page)[GAUGE.name].samples
    (expected,) = theirs[GAUGE.name].samples
    assert sample.labels == expected.labels
    assert repr(sample.value) == repr(expected.value)


def test_a_histogram_is_cumulated_and_ends_with_its_sum_and_count() -> None:
    page, histogram = _page(), Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    declared = Declared("some_seconds", Kind.HISTOGRAM, "100 % of it.", ("name",))
    page.histogram(declared, histogram, "50%")
    family = _read(page)["some_seconds"]
    assert family.documentation == "100 % of it."
    assert [(one.name, one.labels.get("le"), one.value) for one in family.samples] == [
        ("some_seconds_bucket", "0.1", 2.0),
        ("some_seconds_bucket", "1.0", 3.0),
        ("some_seconds_bucket", "+Inf", 4.0),
        ("some_seconds_sum", None, 7.65),
        ("some_seconds_count", None, 4.0),
    ]
    assert {one.labels["name"] for one in family.samples} == {"50%"}


def test_the_lines_of_several_workers_stand_together_each_with_its_worker() -> None:
    pages = []
    for worker in (1, 2):
        page = _page(worker)
        page.number(metrics.INFO, 1, "0.1", "3.11")
        page.number(GAUGE, worker, "a")
        pages.append(asyncio.run(page.families()))
    body = text(pages).decode()
    assert body.count("# TYPE some_value gauge") == 1
    (family,) = [one for one in text_string_to_metric_families(body) if one.name == GAUGE.name]
    assert [(one.labels["worker"], one.value) for one in family.samples] == [("1", 1.0), ("2", 2.0)]


def test_a_name_without_lines_is_not_told() -> None:
    assert text([[Family("# TYPE a gauge\n", b"")]]) == b""


def test_a_long_page_lets_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def slow() -> Iterator[None]:
        for _ in range(20):
            time.sleep(SLICE_SECONDS)
            yield

    async def run() -> None:
        task = asyncio.create_task(others())
        await written(slow())
        task.cancel()

    asyncio.run(run())
    assert turns >= 20


def test_an_application_is_told_of_before_its_first_change_and_default() -> None:
    page, counts = _page(), {"fraud": AnswerCounts()}
    counts["fraud"].histogram("m:1").observe(0.003)
    for _ in scrape.answers(page, counts, {"m:1"}):
        pass
    found = _read(page)
    latency = found[metrics.LATENCY.name].samples
    assert len(latency) == len(LATENCY_BOUNDS) + 1 + 2
    # A rate sees no step from nothing: the first slow rollback would be told of by nobody.
    rollbacks = [
        one.value for one in found[metrics.LAST_ANSWER.name].samples
        if one.labels["kind"] == "rollback" and one.name.endswith("_count")
    ]  # fmt: skip
    assert rollbacks == [0.0]
    assert [one.value for one in found["leadsman_serving_failed_requests"].samples] == [0.0]


def test_versions_that_are_kept_no_more_are_told_once_more_and_forgotten() -> None:
    counts = AnswerCounts()

    def told(*kept: str) -> set[str]:
        page = _page()
        for _ in scrape.answers(page, {"fraud": counts}, kept):
            pass
        found = [one.labels for family in _read(page).values() for one in family.samples]
        return {labels["version"] for labels in found if "version" in labels}

    for number in range(100):
        ref = f"m:{number}"
        counts.histogram(ref).observe(0.003)
        counts.defaults[ref, 1] = counts.refused[ref] = counts.shadows[ref] = 1
        counts.shadows_lost[ref, 0] = 1
        counts.members.count(ref, 0)
        counts.members.count(ref, 1)
        # The scrape after its replacement still has its last answers; the next one has not.
        before = {f"m:{one}" for one in (number - 1, number) if one >= 0}
        assert told(ref) == before
    assert told("m:99") == {"m:99"}
    # One that comes back within a scrape has lost nothing.
    counts.histogram("m:7").observe(0.003)
    assert told("m:99") == told("m:7", "m:99") == told("m:99") == {"m:7", "m:99"}
    assert counts.latency["m:7"].count == 1
