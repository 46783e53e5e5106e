"""Names of everything that the monitor exports."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("leadsman_monitor_rows", "Rows of the record consumed.", ["kind"])
OBSERVATIONS = Counter("leadsman_monitor_observations", "Observations fed to watches' signals.")
TURNS = Histogram("leadsman_monitor_turn_seconds", "Time that one turn took, in seconds.")
TURN_FAILURES = Counter("leadsman_monitor_turn_failures", "Turns that were undone by an error.")
LAG = Gauge("leadsman_monitor_lag_shipments", "Shipments that wait to be consumed.")
ALARMS = Counter("leadsman_alarms", "Alarms raised.", ["application", "watch", "tier"])
REMEDIES = Counter("leadsman_remedies", "Remedies by what became of them.", ["kind", "state"])
DELIVERIES = Counter("leadsman_webhook_attempts", "Attempts to deliver to a webhook.", ["result"])
STATISTIC = Gauge(
    "leadsman_test_statistic",
    "Evidence of a watch against its promise; a guaranteed one alarms at 1.",
    ["application", "watch", "subject", "tier"],
)
"""Updated from the saved states when it is scraped."""
AUTOMATION = Gauge(
    "leadsman_automation_enabled",
    "1 where alarms may change an application's route by themselves.",
    ["application"],
)
DROPPED_DAYS = Counter(
    "leadsman_retention_dropped_days", "Days of predictions or labels dropped because of their age."
)
