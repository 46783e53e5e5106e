"""Recording and alert rules for Prometheus, from the declared names of metrics.

Leadsman tells people itself when a model goes bad, with evidence. These rules are for the service
around it, which cannot be trusted to report its own death, and for teams that want everything in
one Alertmanager. What each alert means and what to do is in docs/alert-rules.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dashboards.queries import added, increase, largest, quantile, rate, series
from monitor import metrics as monitor
from serving import metrics as serving

SERVING_JOB, MONITOR_JOB = "leadsman-serving", "leadsman-monitor"
"""Names of the scrape jobs in deploy/prometheus/prometheus.yml."""
PAGE, TICKET = "page", "ticket"
"""Somebody must come now; somebody must look within days."""

ANSWERS = "leadsman:answers:rate5m"
DEFAULT_SHARE = "leadsman:default_answers:ratio_rate5m"
REFUSED_SHARE = "leadsman:refused_requests:ratio_rate5m"
LATENCY_MEDIAN = "leadsman:prediction_latency_seconds:p50_rate5m"
LATENCY_TAIL = "leadsman:prediction_latency_seconds:p99_rate5m"
JOURNAL_SHARE = "leadsman:journal:ratio"
FIRING = "leadsman:alerts_firing:count"

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert rule; its name is its heading in docs/alert-rules.md."""

    name: str
    what: str
    """What is looked at, without the limit."""
    beyond: str
    """The limit, as a comparison."""
    lasting: str
    severity: str
    summary: str
    """A sentence with labels in it: what is wrong, where."""

    def rule(self) -> Rule:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": f"{self.what} {self.beyond}",
            **({"for": self.lasting} if self.lasting != "0s" else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "runbook": f"docs/alert-rules.md#{self.name.lower()}",
                "console": _console(self.summary),
            },
        }


def _console(summary: str) -> str:
    """Where to look: the external label `console` says under which address people reach it."""
    root = "{{ $externalLabels.console }}/"
    name = "{{ $labels.application }}"
    return f"{root}?application={name}" if name in summary else root


def recorded() -> list[Rule]:
    """What dashboards and alerts ask for again and again."""
    five = "5m"
    answered = added(rate(serving.LATENCY, five, "count"), "application")
    defaults = added(rate(serving.DEFAULTS, five), "application")
    refused = added(rate(serving.REFUSED, five), "application")
    refused_or_none = f"({refused}) or 0 * ({answered})"
    rules = {
        ANSWERS: added(rate(serving.LATENCY, five, "count"), "application", "version"),
        "leadsman:answers:by_application:rate5m": answered,
        # An application without a default answer yet has no series of them: that is a share of 0.
        DEFAULT_SHARE: f"(({defaults}) or 0 * ({answered})) / ({answered} > 0)",
        REFUSED_SHARE: f"({refused_or_none}) / (({refused_or_none}) + ({answered}) > 0)",
        LATENCY_MEDIAN: quantile(0.5, serving.LATENCY, five, "application"),
        LATENCY_TAIL: quantile(0.99, serving.LATENCY, five, "application"),
        JOURNAL_SHARE: f"{series(serving.JOURNAL_BYTES)} / {series(serving.JOURNAL_LIMIT_BYTES)}",
        FIRING: largest(series(monitor.ALERTS, state="firing"), "application", "tier"),
    }
    return [{"record": name, "expr": expression} for name, expression in rules.items()]


def serving_alerts() -> Iterator[Alert]:
    """Whether predictions are answered and kept."""
    yield Alert(
        "LeadsmanServingDown", f'up{{job="{SERVING_JOB}"}}', "== 0", "1m", PAGE,
        "Serving at {{ $labels.instance }} does not answer.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanNoReplica",
        largest(series(serving.REPLICAS_READY), "version"),
        # One that is being started for the first time, or stays warm, was not asked for anything.
        f"== 0 and on (version) {added(rate(serving.LATENCY, '5m', 'count'), 'version')} > 0",
        "1m", PAGE,
        "No replica of {{ $labels.version }} answers; its applications give default answers.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanDefaultAnswers", DEFAULT_SHARE, "> 0.05", "5m", PAGE,
        "{{ $value | humanizePercentage }} of {{ $labels.application }}'s answers are defaults.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanRefusedRequests", REFUSED_SHARE, "> 0.01", "5m", PAGE,
        "{{ $value | humanizePercentage }} of the requests of {{ $labels.application }} get 503.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanFailedRequests",
        added(rate(serving.ERRORS, "5m"), "application"),
        "> 0.05 * leadsman:answers:by_application:rate5m", "10m", TICKET,
        "More than one in twenty requests of {{ $labels.application }} are bad input.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanReplicaRestarts",
        added(increase(serving.REPLICA_RESTARTS, "15m"), "version"), "> 3", "0s", TICKET,
        "Replicas of {{ $labels.version }} were replaced {{ $value | humanize }} times.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanJournalHalfFull", JOURNAL_SHARE, "> 0.5", "5m", PAGE,
        "The journal at {{ $labels.instance }} is {{ $value | humanizePercentage }} full; at its "
        "limit requests get 503.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanShippingBehind", series(serving.SHIPPING_LAG_SECONDS), "> 60", "2m", TICKET,
        "The oldest record at {{ $labels.instance }} waits for Postgres since "
        "{{ $value | humanizeDuration }}.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanDatabaseAway", series(serving.DATABASE_CONNECTED), "== 0", "1m", PAGE,
        "Serving at {{ $labels.instance }} does not reach Postgres; answers go into the journal.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanRowsRefused", series(serving.REFUSED_ROWS), "> 0", "0s", TICKET,
        "Postgres refused {{ $value }} records of {{ $labels.instance }}; they are set aside.",
    )  # fmt: skip
    slow = increase(serving.LAST_ANSWER, "1h", "count", kind="rollback")
    quick = increase(serving.LAST_ANSWER, "1h", "bucket", kind="rollback", le="1.0")
    yield Alert(
        "LeadsmanSlowRollback",
        f"{added(slow, 'application')} - {added(quick, 'application')}", "> 0.5", "0s", TICKET,
        "After a rollback of {{ $labels.application }} the bad version answered for more than 1 s.",
    )  # fmt: skip


def monitor_alerts() -> Iterator[Alert]:
    """Whether somebody watches, and what the watch says."""
    yield Alert(
        "LeadsmanMonitorDown", f'up{{job="{MONITOR_JOB}"}}', "== 0", "1m", PAGE,
        "The monitor at {{ $labels.instance }} does not answer.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanNobodyReads", added(series(monitor.SHARDS_HELD)), "== 0", "1m", PAGE,
        "No monitor reads the record: no model is watched.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanMonitorBehind", largest(series(monitor.LAG_SECONDS), "shard"), "> 120", "5m",
        PAGE,
        "The monitor of part {{ $labels.shard }} is {{ $value | humanizeDuration }} behind.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanMonitorSilent", f"time() - {largest(series(monitor.LAST_TURN))}", "> 120", "1m",
        PAGE, "No turn of the monitor has succeeded for {{ $value | humanizeDuration }}.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanTurnsFail", added(increase(monitor.TURN_FAILURES, "10m")), "> 3", "0s", TICKET,
        "{{ $value | humanize }} turns of the monitor were undone in ten minutes.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanFiguresStale", f"time() - {largest(series(monitor.FIGURES_AT))}", "> 120", "1m",
        TICKET, "What the record says was last read {{ $value | humanizeDuration }} ago.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanModelAlert", f'{FIRING}{{tier=~"rollback|page"}}', "> 0", "0s", PAGE,
        "{{ $labels.application }}: {{ $value }} alerts of the tier {{ $labels.tier }}.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanModelNotice", f'{FIRING}{{tier="info"}}', "> 0", "0s", TICKET,
        "{{ $labels.application }}: {{ $value }} alerts that inform.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanRemedyWaits",
        largest(series(monitor.REMEDIES_WAITING, state="proposed"), "application"), "> 0", "15m",
        TICKET,
        "A remedy for {{ $labels.application }} waits to be approved or rejected.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanRemedyFailed",
        added(increase(monitor.REMEDIES, "15m", state="failed"), "kind"), "> 0", "0s", PAGE,
        "A remedy ({{ $labels.kind }}) could not be carried out.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanWatchRefused",
        added(
            largest(
                series(monitor.WATCHES, status="refused", tier="rollback"),
                "application", "watch",
            ),
            "application",
        ),
        "> 0",
        "1h", TICKET,
        "{{ $value }} rollback watches of {{ $labels.application }} refuse to arm.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanAutomationOff",
        largest(series(monitor.AUTOMATION), "application"), "== 0", "1d", TICKET,
        "Automation of {{ $labels.application }} has been off for a day.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanDeliveriesStuck", largest(series(monitor.DELIVERY_AGE)), "> 600", "5m", PAGE,
        "An alert has been waiting to be delivered for {{ $value | humanizeDuration }}.",
    )  # fmt: skip
    yield Alert(
        "LeadsmanDeliveriesDead",
        largest(series(monitor.DELIVERIES_WAITING, state="dead")), "> 0", "0s", TICKET,
        "{{ $value }} deliveries were given up; they can be sent again.",
    )  # fmt: skip


def groups() -> dict[str, Any]:
    """All rules, as a rule file."""
    return {
        "groups": [
            {"name": "leadsman-recorded", "rules": recorded()},
            {"name": "leadsman-serving", "rules": [one.rule() for one in serving_alerts()]},
            {"name": "leadsman-monitor", "rules": [one.rule() for one in monitor_alerts()]},
        ]
    }
