"""Names of all that the monitor exports, once. Dashboards and alert rules are made from them.

The first part counts what this process does. The second tells what the record says: it is read
again and again beside the loop (`monitor.views.figures`), so that a scrape asks Postgres nothing.
With several monitors each tells the same of the record: take the maximum over instances, never the
sum.
"""

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

PROCESS = REGISTRY
"""What this process counts."""
RECORD = CollectorRegistry()
"""What the record says."""

INFO = Info("leadsman_monitor", "Versions of the monitor and of Python.")
ROWS = Counter("leadsman_monitor_rows", "Rows of the record consumed.", ["kind"])
OBSERVATIONS = Counter("leadsman_monitor_observations", "Observations fed to watches' signals.")
TURNS = Histogram(
    "leadsman_monitor_turn_seconds",
    "Time that one turn took.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TURN_FAILURES = Counter("leadsman_monitor_turn_failures", "Turns that were undone by an error.")
WATCHES_FAILED = Counter(
    "leadsman_monitor_watches_failed",
    "Watches that stopped because their evaluation raised an exception.",
    ["application", "watch"],
)
LAST_TURN = Gauge(
    "leadsman_monitor_last_turn_timestamp_seconds", "When a turn last succeeded, since 1970."
)
SHARDS_HELD = Gauge("leadsman_monitor_shards_held", "Parts of the record that this process reads.")
ALARMS = Counter("leadsman_alarms", "Alarms raised.", ["application", "watch", "tier"])
REMEDIES = Counter(
    "leadsman_remedies", "Remedies by each state that they came to.", ["kind", "state"]
)
for _kind in (
    "roll_back",
    "swap",
    "change_share",
    "promote",
    "stop_canary",
    "challenge",
    "retrain",
):
    # Told from the start: the step from nothing to the first is seen by no rate.
    REMEDIES.labels(_kind, "failed")
DELIVERIES = Counter("leadsman_webhook_attempts", "Attempts to deliver to a webhook.", ["result"])
DROPPED_PARTITIONS = Counter(
    "leadsman_retention_dropped_partitions",
    "Partitions of predictions or labels, a day each, dropped because of their age.",
)

FIGURES_AT = Gauge(
    "leadsman_monitor_figures_timestamp_seconds",
    "When the figures of the record were last read, since 1970.",
    registry=RECORD,
)


def _of_record(name: str, help: str, *labels: str) -> Gauge:
    return Gauge(f"leadsman_{name}", help, labels, registry=RECORD)


LAG_SHIPMENTS = _of_record(
    "monitor_lag_shipments", "Shipments that wait to be consumed, by part of the record.", "shard"
)
LAG_ROWS = _of_record("monitor_lag_rows", "Rows of those shipments.", "shard")
LAG_SECONDS = _of_record("monitor_lag_seconds", "Age of the oldest of them.", "shard")
STATISTIC = _of_record(
    "test_statistic",
    "Where a watch stands: a guaranteed one's evidence against its promise, of no unit.",
    "application", "watch", "version", "segment", "tier",
)  # fmt: skip
THRESHOLD = _of_record(
    "test_threshold",
    "Evidence at which a guaranteed watch alarms; its budget is part of the evidence.",
    "application", "watch",
)  # fmt: skip
WATCHES = _of_record(
    "watched_subjects",
    "Versions and segments by what a watch can say of them: learning, armed, refused or failed.",
    "application", "watch", "tier", "status",
)  # fmt: skip
ALERTS = _of_record(
    "alerts", "Alerts that are open, by state and tier.", "application", "tier", "state"
)
BUDGET = _of_record(
    "budget_per_year",
    "False alarms a year that an application may raise, where it sets no budget itself.",
    "tier",
)
OWN_BUDGET = _of_record(
    "application_budget_per_year",
    "False alarms a year that an application allows itself, in place of the monitor's setting.",
    "application", "tier",
)  # fmt: skip
GRANTED = _of_record(
    "budget_granted",
    "False alarms expected at most so far: what its guaranteed watches were granted.",
    "application", "tier",
)  # fmt: skip
SPENT = _of_record(
    "budget_spent",
    "Alarms of guaranteed watches, true or false, to set against what was granted.",
    "application", "tier",
)  # fmt: skip
LOSS = _of_record(
    "loss_mean", "Mean loss in the newest hour that has labels.", "application", "version"
)
LABEL_DELAY = _of_record(
    "label_delay_seconds", "Mean delay of the labels of the newest hour that has any.",
    "application", "version",
)  # fmt: skip
LABEL_COVERAGE = _of_record(
    "label_coverage_ratio",
    "Share of predictions that got a label in time, in the newest hour that can be judged.",
    "application", "version",
)  # fmt: skip
AUTOMATION = _of_record(
    "automation_enabled",
    "1 where alarms may change an application's route by themselves.", "application",
)  # fmt: skip
REMEDIES_WAITING = _of_record(
    "remedies_waiting", "Remedies that are proposed, or on their way.", "application", "state"
)
REMEDY_OUTCOMES = _of_record(
    "remedy_outcomes", "Remedies that acted, by what fresh labels said of them.",
    "application", "outcome",
)  # fmt: skip
DELIVERIES_WAITING = _of_record(
    "deliveries", "Deliveries that wait or were given up as dead.", "state"
)
DELIVERY_AGE = _of_record(
    "delivery_oldest_waiting_seconds", "For how long the oldest waiting delivery has been tried."
)
