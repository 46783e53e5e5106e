"""PromQL from the declared names of metrics: a label that does not exist stops the build."""

from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from serving.metrics import WORKER, Declared

Metric = Declared | MetricWrapperBase

GIVEN = frozenset({"job", "instance", "le", WORKER})
"""Labels that come from the scrape, from a histogram, or from several workers."""
_SUFFIXES = {"counter": ("total",), "info": ("info",), "histogram": ("bucket", "sum", "count")}


class UnknownLabelError(ValueError):
    """A query asks for a label that the metric does not have."""

    def __init__(self, metric: str, label: str, known: tuple[str, ...]) -> None:
        super().__init__(f"{metric}: expected one of the labels {known}, received {label!r}")


def name_of(metric: Metric) -> str:
    """The name as it was declared, without the suffix of its kind."""
    return metric.name if isinstance(metric, Declared) else next(iter(metric.describe())).name


def series(metric: Metric, part: str = "", /, **labels: str) -> str:
    """A selector of the metric's series.

    Parameters
    ----------
    part
        Of a histogram: bucket, sum or count. The others have one part alone.
    labels
        What a label must be; a value that begins with `~` is a regular expression, with `!` is
        excluded.

    Raises
    ------
    UnknownLabelError
        If the metric has no such label.
    """
    kind, known = _kind_and_labels(metric)
    name = name_of(metric)
    suffixes = _SUFFIXES.get(kind, ("",))
    suffix = part or suffixes[0]
    if suffix not in suffixes:
        raise ValueError(f"{name}: expected one of the parts {suffixes}, received {part!r}")
    for label in labels:
        if label not in known and label not in GIVEN:
            raise UnknownLabelError(name, label, known)
    chosen = ",".join(_matcher(label, value) for label, value in labels.items())
    return name + (f"_{suffix}" if suffix else "") + (f"{{{chosen}}}" if chosen else "")


def rate(metric: Metric, over: str = "$__rate_interval", part: str = "", /, **labels: str) -> str:
    """How often a second, each worker and replica of the service for itself: sum it."""
    return f"rate({series(metric, part, **labels)}[{over}])"


def increase(
    metric: Metric, over: str = "$__rate_interval", part: str = "", /, **labels: str
) -> str:
    """How often in a stretch of time, each worker for itself: sum it."""
    return f"increase({series(metric, part, **labels)}[{over}])"


def added(what: str, *by: str) -> str:
    """The sum by labels."""
    return f"sum by ({', '.join(by)}) ({what})" if by else f"sum({what})"


def largest(what: str, *by: str) -> str:
    """The largest by labels: what several processes say of one thing."""
    return f"max by ({', '.join(by)}) ({what})" if by else f"max({what})"


def quantile(
    q: float, metric: Metric, over: str = "$__rate_interval", *by: str, **labels: str
) -> str:
    """A quantile of a histogram over all workers."""
    buckets = added(rate(metric, over, "bucket", **labels), "le", *by)
    return f"histogram_quantile({q}, {buckets})"


def _kind_and_labels(metric: Metric) -> tuple[str, tuple[str, ...]]:
    if isinstance(metric, Declared):
        return metric.kind.value, metric.labels
    # The library keeps the names of a metric's labels to itself.
    private: Any = metric
    return str(private._type), tuple(private._labelnames)


def _matcher(label: str, value: str) -> str:
    if value.startswith("~"):
        return f'{label}=~"{value[1:]}"'
    if value.startswith("!"):
        return f'{label}!="{value[1:]}"'
    return f'{label}="{value}"'
