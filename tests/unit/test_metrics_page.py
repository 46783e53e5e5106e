"""Every metric that is exported has its definition in the documentation, and no other."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

import monitor.metrics
import serving.metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+?) \|$", re.MULTILINE)


def _exported() -> list[tuple[str, str, str, str]]:
    """Name, kind, labels and definition of each metric, as the page has them."""
    found = [
        (one.name, one.kind.value, one.labels, one.help)
        for one in vars(serving.metrics).values()
        if isinstance(one, serving.metrics.Declared)
    ]
    for one in vars(monitor.metrics).values():
        if isinstance(one, MetricWrapperBase):
            family = next(iter(one.describe()))
            labels = ("version", "python") if family.type == "info" else one._labelnames
            found.append((family.name, family.type, labels, family.documentation))
    return [(name, kind, ", ".join(labels) or "none", said) for name, kind, labels, said in found]


def test_the_page_of_metrics_defines_each_exported_metric_and_no_other() -> None:
    assert sorted(ROW.findall(PAGE.read_text())) == sorted(_exported())
