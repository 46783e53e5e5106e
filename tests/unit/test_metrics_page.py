"""Every metric that is exported has its definition in the documentation, and no other."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

import monitor.metrics
import serving.metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_NOT_METRICS = {serving.metrics.PREFIX}


def _exported() -> set[str]:
    constants = {
        value
        for value in vars(serving.metrics).values()
        if isinstance(value, str) and value.startswith(serving.metrics.PREFIX)
    }
    objects = {
        next(iter(value.describe())).name
        for module in (serving.metrics, monitor.metrics)
        for value in vars(module).values()
        if isinstance(value, MetricWrapperBase)
    }
    return (constants | objects) - _NOT_METRICS


def test_the_page_of_metrics_defines_each_exported_metric_and_no_other() -> None:
    rows = re.findall(r"^\| `(leadsman_\w+)` \|.*?([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == _exported()
    assert all(definition.strip() for _, definition in rows)
