"""Names of everything that serving measures, once.

Labels are bounded: names of applications, versions in service, and reasons from a fixed list. Times
are in seconds and sizes in bytes, as Prometheus has it.
"""

from prometheus_client import CollectorRegistry, Histogram, Info

REGISTRY = CollectorRegistry()
"""Of this process alone; the collectors of the hot path read plain counters at each scrape."""

PREFIX = "leadsman_serving_"

INFO = Info("leadsman_serving", "Version of the service and of Python.", registry=REGISTRY)

ROUTE_CHANGE_SECONDS = Histogram(
    PREFIX + "route_change_seconds",
    "From the request for a route change to the switch.",
    ["application", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60),
    registry=REGISTRY,
)

PREDICTIONS = PREFIX + "predictions_total"
