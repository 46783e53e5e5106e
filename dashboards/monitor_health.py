"""*Monitor health*: whether somebody watches, keeps up and gets through to people."""

from dashboards import rules
from dashboards.frame import assembled
from dashboards.panels import THIRD, Json, Unit, asks, chart, listing, number, reads
from dashboards.provisioning import CONSOLE
from dashboards.queries import added, increase, largest, quantile, rate, series
from monitor import metrics as monitor
from serving import metrics as serving

UID = "leadsman-monitor"

REFUSED = """
    SELECT application, watch, tier, version, segment, status, status_reason AS "why", observations
      FROM watch_log WHERE status <> 'armed' AND tier <> 'info'
     ORDER BY status DESC, application, watch LIMIT 200
"""
REMEDIES = """
    SELECT decided_at AS "at", application, kind, mode, state, state_reason AS "why", outcome,
           alert_id AS incident
      FROM remedy_log WHERE state = 'proposed' OR $__timeFilter(decided_at)
     ORDER BY decided_at DESC LIMIT 100
"""


def build(console: str = CONSOLE) -> Json:
    """The dashboard."""
    here = {"job": rules.MONITOR_JOB}
    now = [
        number("Monitors", "Monitors that answer Prometheus.", Unit.COUNT,
               asks(f'sum(up{{job="{rules.MONITOR_JOB}"}})'), good_above=1),
        number("Parts read", "Parts of the record that some monitor reads; 0 means that no model "
               "is watched.", Unit.COUNT, asks(added(series(monitor.SHARDS_HELD))), good_above=1),
        number("Behind", "Age of the oldest record that has not been read.", Unit.SECONDS,
               asks(largest(series(monitor.LAG_SECONDS))), limit=120),
        number("Since the last turn", "Time since a turn last succeeded, with or without records.",
               Unit.SECONDS, asks(f"time() - {largest(series(monitor.LAST_TURN))}"), limit=60),
        number("Deliveries waiting", "Messages to webhooks that are not through yet.", Unit.COUNT,
               asks(largest(series(monitor.DELIVERIES_WAITING, state="waiting")))),
        number("Deliveries given up", "Messages that never got through; they can be sent again "
               "from the console.", Unit.COUNT,
               asks(largest(series(monitor.DELIVERIES_WAITING, state="dead"))), limit=1),
    ]  # fmt: skip
    reading = [
        chart("Behind, in time", "Age of the oldest record that has not been read, by part of the "
              "record.", Unit.SECONDS,
              asks(largest(series(monitor.LAG_SECONDS), "shard"), "{{shard}}"), limit=120),
        chart("Behind, in rows", "Rows of shipments that have not been read.", Unit.COUNT,
              asks(largest(series(monitor.LAG_ROWS), "shard"), "{{shard}} rows"),
              asks(largest(series(monitor.LAG_SHIPMENTS), "shard"), "{{shard}} shipments")),
        chart("Rows read", "Predictions and labels read a second.", Unit.ROWS_A_SECOND,
              asks(added(rate(monitor.ROWS), "kind"), "{{kind}}"),
              asks(added(rate(monitor.OBSERVATIONS)), "observations of signals")),
        chart("Time of a turn", "Half of all turns, and all but one in a hundred, took less. A "
              "turn without records counts too.", Unit.SECONDS,
              asks(quantile(0.5, monitor.TURNS, "$__rate_interval"), "median"),
              asks(quantile(0.99, monitor.TURNS, "$__rate_interval"), "99 %")),
        chart("Turns that failed", "Turns a minute that were undone by an error; what they read "
              "is read again.", Unit.COUNT, asks(f"60 * {added(rate(monitor.TURN_FAILURES))}",
                                                 "a minute")),
        chart("Age of the figures", "Time since what the record says was last read for "
              "Prometheus; it grows while Postgres is away.", Unit.SECONDS,
              asks(f"time() - {largest(series(monitor.FIGURES_AT), 'instance')}",
                   "{{instance}}"), limit=120),
    ]  # fmt: skip
    telling = [
        chart("Alarms", "Alarms raised within an hour, by tier.", Unit.COUNT,
              asks(added(increase(monitor.ALARMS, "1h"), "tier"), "{{tier}}"), width=THIRD),
        chart("Open alerts", "Open alerts of all applications, by their state.", Unit.COUNT,
              asks("sum by (state) ("
                   + largest(series(monitor.ALERTS), "application", "tier", "state") + ")",
                   "{{state}}"), width=THIRD),
        chart("Attempts to deliver", "Attempts to reach webhooks within an hour, by result.",
              Unit.COUNT, asks(added(increase(monitor.DELIVERIES, "1h"), "result"), "{{result}}"),
              width=THIRD),
        chart("Oldest delivery that waits", "For how long it has been tried.", Unit.SECONDS,
              asks(largest(series(monitor.DELIVERY_AGE)), "oldest"), width=THIRD, limit=600),
        chart("Remedies", "Remedies within an hour, by what became of them.", Unit.COUNT,
              asks(added(increase(monitor.REMEDIES, "1h"), "kind", "state"),
                   "{{kind}} {{state}}"), width=THIRD),
        chart("Remedies that wait", "Remedies that are proposed, or on their way.", Unit.COUNT,
              asks("sum by (state) ("
                   + largest(series(monitor.REMEDIES_WAITING), "application", "state") + ")",
                   "{{state}}"), width=THIRD),
        chart("False alarms: granted and raised", "Over all applications: how many false alarms "
              "are expected at most so far, and how many alarms guaranteed watches raised.",
              Unit.NONE,
              asks("sum by (tier) ("
                   + largest(series(monitor.GRANTED), "application", "tier") + ")",
                   "{{tier}} granted"),
              asks("sum by (tier) ("
                   + largest(series(monitor.SPENT), "application", "tier") + ")",
                   "{{tier}} raised")),
        chart("Budget of an application", "False alarms a year that its watches may raise: as the "
              "monitor is set, and what applications allow themselves instead.", Unit.NONE,
              asks(largest(series(monitor.BUDGET), "tier"), "{{tier}}"),
              asks(largest(series(monitor.OWN_BUDGET), "application", "tier"),
                   "{{tier}} of {{application}}")),
        listing("Watches that cannot alarm", "Watches of the tiers page and rollback that still "
                "learn, or refuse to arm, and why.", reads(REFUSED)),
        listing("Remedies", "What is proposed, and what was done in the time shown.",
                reads(REMEDIES), links={"incident": ("Incident in the console",
                                                     "${console}/?alert=${__value.raw}")}),
    ]  # fmt: skip
    process = [
        chart("Processor", "Processors that each monitor uses.", Unit.NONE,
              asks(rate(serving.CPU_SECONDS, **here), "{{instance}}"), width=THIRD),
        chart("Memory", "Memory that each monitor has.", Unit.BYTES,
              asks(series(serving.MEMORY_BYTES, **here), "{{instance}}"), width=THIRD),
        chart("Automation", "Applications whose alarms may change routes by themselves, and those "
              "where that was switched off.", Unit.COUNT,
              asks(f"sum({largest(series(monitor.AUTOMATION), 'application')})", "on"),
              asks(f"count({largest(series(monitor.AUTOMATION), 'application')} == 0) "
                   "or vector(0)", "off"), width=THIRD),
        listing("Versions", "Which version of the monitor runs where.",
                asks(series(monitor.INFO)), height=5),
    ]  # fmt: skip
    return assembled(
        UID, "Leadsman / Monitor health", "Whether the record is read, tests keep up, and people "
        "are reached.",
        [("Now", now), ("Reading", reading), ("Telling", telling), ("Process", process)],
        console=console,
    )  # fmt: skip
