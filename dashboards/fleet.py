"""*Fleet*: is anything wrong, in which application, and since when."""

from dashboards import rules
from dashboards.frame import assembled
from dashboards.panels import Json, Unit, asks, chart, listing, number, reads
from dashboards.provisioning import CONSOLE
from dashboards.queries import added, largest, rate, series
from monitor import metrics as monitor
from serving import metrics as serving

UID = "leadsman-fleet"

APPLICATIONS = """
    SELECT r.application, coalesce(a.state, 'no alert') AS state, coalesce(a.firing, 0) AS firing,
           a.since, r.serves AS "in service", r.revision, r.created_at AS "changed at",
           r.actor AS "changed by"
      FROM (SELECT DISTINCT ON (application) * FROM revision_log
             ORDER BY application, revision DESC) AS r
      LEFT JOIN (SELECT application, min(opened_at) AS since,
                        count(*) FILTER (WHERE state = 'firing') AS firing,
                        (array_agg(state ORDER BY
                            array_position(ARRAY['firing','pending','acknowledged'], state)))[1]
                            AS state
                   FROM alert_log WHERE state <> 'resolved' GROUP BY 1) AS a USING (application)
     ORDER BY firing DESC, a.since, application
"""
ALERTS = """
    SELECT opened_at AS "opened at", application, tier, state, title, version,
           id AS incident, resolved_at AS "resolved at"
      FROM alert_log WHERE state <> 'resolved' OR $__timeFilter(opened_at)
     ORDER BY state = 'resolved', opened_at DESC LIMIT 100
"""


def build(console: str = CONSOLE) -> Json:
    """The dashboard."""
    answers = added(rate(serving.LATENCY, "$__rate_interval", "count"))
    by_application = added(rate(serving.LATENCY, "$__rate_interval", "count"), "application")
    covered = largest(series(monitor.LABEL_COVERAGE), "application", "version")
    open_alerts = largest(series(monitor.ALERTS), "application", "tier", "state")
    grave = largest(
        series(monitor.ALERTS, state="firing", tier="~rollback|page"), "application", "tier"
    )
    proposed = largest(series(monitor.REMEDIES_WAITING, state="proposed"), "application")
    now = [
        number(
            "Applications in alarm", "Applications with a firing alert of the tiers rollback or "
            "page. Their names are in the table below.", Unit.COUNT,
            asks(f"count({largest(grave, 'application')}) or vector(0)"), limit=1,
        ),
        number(
            "Open alerts", "Alerts that are pending, firing or acknowledged, of all tiers.",
            Unit.COUNT, asks(f"sum({open_alerts}) or vector(0)"),
        ),
        number(
            "Remedies to decide on", "Remedies that wait for somebody to approve or reject them.",
            Unit.COUNT, asks(f"sum({proposed}) or vector(0)"), limit=1,
        ),
        number(
            "Answers", "Answers a second of all applications, defaults included.",
            Unit.A_SECOND, asks(answers),
        ),
        number(
            "Default answers", "Share of answers that were the default output: nobody's model "
            "answered in time.", Unit.SHARE,
            asks(f"(sum({rate(serving.DEFAULTS)}) or vector(0)) / ({answers} > 0)"), limit=0.01,
        ),
        number(
            "Monitor behind", "Age of the oldest record that the monitor has not read: what it "
            "says is that old.", Unit.SECONDS, asks(largest(series(monitor.LAG_SECONDS))),
            limit=120,
        ),
    ]  # fmt: skip
    lists = [
        listing(
            "Applications", "Every application, those in alarm first. A click leads to its "
            "dashboard, and from there to the console.", reads(APPLICATIONS), height=9,
            links={
                "application": (
                    "Dashboard of this application",
                    "/d/leadsman-application?var-application=${__value.raw}&${__url_time_range}",
                ),
                "state": ("Console", "${console}/?application=${__data.fields.application}"),
            },
        ),
        listing(
            "Alerts", "Open alerts, and those opened in the time shown. The incident's number "
            "leads to its evidence in the console.", reads(ALERTS), height=9,
            links={"incident": ("Incident in the console", "${console}/?alert=${__value.raw}")},
        ),
    ]  # fmt: skip
    over_time = [
        chart(
            "Answers by application", "Answers a second, defaults included; the ten busiest.",
            Unit.A_SECOND,
            asks(f"topk(10, {by_application})", "{{application}}"),
        ),
        chart(
            "Default answers by application", "Share of answers that were the default output over "
            "5 minutes. It is a fault of the service, never drift.", Unit.SHARE,
            asks(f"topk(10, {rules.DEFAULT_SHARE})", "{{application}}"), most=1, limit=0.05,
        ),
        chart(
            "Slowest answers by application", "The 99th percentile of latency over 5 minutes, "
            "from arrival to answer; the ten slowest.", Unit.SECONDS,
            asks(f"topk(10, {rules.LATENCY_TAIL})", "{{application}}"),
        ),
        chart(
            "Mean loss by application", "Loss of the versions in service in the newest hour that "
            "has labels: the share of wrong answers, or the scaled error of a regression.",
            Unit.NONE,
            asks(f"topk(10, {largest(series(monitor.LOSS), 'application', 'version')})",
                 "{{application}} {{version}}"),
        ),
        chart(
            "Open alerts by tier", "How many alerts stand open, by how grave they are.",
            Unit.COUNT, asks(f"sum by (tier, state) ({open_alerts})", "{{tier}} {{state}}"),
        ),
        chart(
            "Labels in time", "Share of predictions that got a label in time. Where it falls, "
            "tests of losses see less, and later.", Unit.SHARE,
            asks(f"bottomk(10, {covered})", "{{application}} {{version}}"),
            most=1,
        ),
    ]  # fmt: skip
    return assembled(
        UID, "Leadsman / Fleet", "All applications at a look: what is in alarm, since when, and "
        "how much traffic it concerns.",
        [("Now", now), ("Applications and alerts", lists), ("Over time", over_time)],
        console=console,
    )  # fmt: skip
