"""*Application*: how one application does, by version and segment."""

from dashboards.frame import application_variable, assembled, segment_variable, version_variable
from dashboards.panels import SIXTH, WIDE, Json, Unit, asks, chart, listing, number, reads
from dashboards.provisioning import CONSOLE
from dashboards.queries import added, increase, largest, quantile, rate, series
from monitor import metrics as monitor
from serving import metrics as serving

UID = "leadsman-application"

MINE = "application = ${application:sqlstring}"
OF_VERSIONS = f"u.{MINE} AND u.version IN (${{version:sqlstring}})"
CHOSEN = f"{OF_VERSIONS} AND u.segment = ${{segment:sqlstring}}"
STEP = "s.step_s = CASE WHEN $__unixEpochTo() - $__unixEpochFrom() > 172800 THEN 3600 ELSE 60 END"
"""Minutes for up to two days, hours beyond."""

OF_SUBJECTS = """
      FROM subject_log u
      JOIN signal_log s ON s.application = u.application AND s.subject = u.subject
"""
"""Signals of chosen subjects: the names are looked up once, the sums by their whole key."""
WITH_BAND = """
    SELECT s.at AS time, u.version || b.what AS metric, b.value {signals}
     CROSS JOIN LATERAL (VALUES ('', s.mean), (' low', s.mean - s.half_width),
                                (' high', s.mean + s.half_width)) AS b (what, value)
     WHERE {chosen} AND s.signal = '{signal}' AND {step} AND $__timeFilter(s.at)
     ORDER BY 1
"""
REVISIONS = f"""
    SELECT created_at AS "at", revision, kind, serves, actor, reason, decided_at AS "decided at"
      FROM revision_log WHERE {MINE} ORDER BY revision DESC LIMIT 50
"""
ALARMS = f"""
    SELECT alarmed_at AS "at", watch, tier, version, segment, statistic, threshold,
           onset_at AS "estimated onset"
      FROM alarm_log WHERE {MINE} ORDER BY alarmed_at DESC LIMIT 50
"""
REMEDIES = f"""
    SELECT decided_at AS "at", id, kind, mode, state, state_reason AS "why",
           from_revision AS "from", to_revision AS "to", outcome, alert_id AS incident
      FROM remedy_log WHERE {MINE} ORDER BY decided_at DESC LIMIT 50
"""


def over_time(signal: str) -> str:
    """SQL of a signal's means with their 95 % intervals, by version."""
    return WITH_BAND.format(signals=OF_SUBJECTS.strip(), chosen=CHOSEN, signal=signal, step=STEP)


def build(console: str = CONSOLE) -> Json:
    """The dashboard."""
    chosen = {"application": "$application", "version": "~$version"}
    answers = rate(serving.LATENCY, "$__rate_interval", "count", **chosen)
    of_all = added(rate(serving.LATENCY, "$__rate_interval", "count", application="$application"))
    defaults = added(rate(serving.DEFAULTS, application="$application"))
    mine = {"application": "$application"}
    now = [
        number("Revision", "Revision of the route in force.", Unit.NONE,
               asks(largest(series(serving.REVISION, **mine)))),
        number("Answers", "Answers a second, defaults included.", Unit.A_SECOND, asks(of_all)),
        number("Default answers", "Share of answers that were the default output.", Unit.SHARE,
               asks(f"({defaults} or vector(0)) / ({of_all} > 0)"), limit=0.01),
        number("Slowest answers", "The 99th percentile of latency, from arrival to answer.",
               Unit.SECONDS, asks(quantile(0.99, serving.LATENCY, "$__rate_interval", **mine))),
        number("Mean loss", "Loss of the version in service in the newest hour that has labels.",
               Unit.NONE, asks(largest(series(monitor.LOSS, **chosen)))),
        number("Open alerts", "Alerts that are pending, firing or acknowledged.", Unit.COUNT,
               asks(f"sum({largest(series(monitor.ALERTS, **mine), 'tier', 'state')}) "
                    "or vector(0)"), width=SIXTH, limit=1),
    ]  # fmt: skip
    quality = [
        chart("Loss", "Mean loss by version with its 95 % interval, from labels as they came: a "
              "point moves while labels of its minute arrive. The interval takes answers for "
              "independent; the alarms do not.", Unit.NONE, reads(over_time("loss")), width=WIDE,
              bands=True),
        chart("Evidence against the promise", "What each watch has gathered; a guaranteed watch "
              "alarms at its threshold. Evidence falls back by itself where it was chance.",
              Unit.NONE,
              asks(largest(series(monitor.STATISTIC, application="$application",
                                  version="~(${version:regex})( against .*)?",
                                  segment="$segment"), "watch", "version"),
                   "{{watch}} {{version}}"),
              asks(largest(series(monitor.THRESHOLD, **mine)), "alarm"), limit=1),
        chart("Score", "Mean score by version: how sure its models are, with the 95 % interval.",
              Unit.NONE, reads(over_time("score")), bands=True),
        chart("Label delay", "Mean time from a prediction to its label, in the newest hour.",
              Unit.SECONDS, asks(largest(series(monitor.LABEL_DELAY, **chosen), "version"),
                                 "{{version}}")),
        chart("Labels in time", "Share of predictions that got a label in time.", Unit.SHARE,
              asks(largest(series(monitor.LABEL_COVERAGE, **chosen), "version"), "{{version}}"),
              most=1),
    ]  # fmt: skip
    service = [
        chart("Answers by version", "Answers a second by the version that was chosen.",
              Unit.A_SECOND, asks(added(answers, "version"), "{{version}}")),
        chart("Latency", "Half of all answers, and all but one in a hundred, were faster.",
              Unit.SECONDS,
              asks(quantile(0.5, serving.LATENCY, "$__rate_interval", "version", **chosen),
                   "{{version}} median"),
              asks(quantile(0.99, serving.LATENCY, "$__rate_interval", "version", **chosen),
                   "{{version}} 99 %")),
        chart("Default answers by reason", "Answers a second that were the default output.",
              Unit.A_SECOND, asks(added(rate(serving.DEFAULTS, **chosen), "version", "reason"),
                                  "{{version}} {{reason}}")),
        chart("Not answered", "Requests a second that got no prediction: turned away because the "
              "answer would come too late (503), or bad input (4xx).", Unit.A_SECOND,
              asks(f"{added(rate(serving.REFUSED, **chosen))} or vector(0)", "turned away"),
              asks(added(rate(serving.ERRORS, **mine)), "bad input")),
        chart("Shadows", "Recorded answers of shadows a second, and those that were asked and not "
              "recorded.", Unit.A_SECOND,
              asks(added(rate(serving.SHADOWS, **mine), "version"), "{{version}}"),
              asks(f"{added(rate(serving.SHADOWS_LOST, **mine))} or vector(0)", "lost")),
        chart("From decision to last bad answer", "After a change of the route: the longest time, "
              "over an hour, in which the route before still answered.", Unit.SECONDS,
              asks("histogram_quantile(1, "
                   + added(increase(serving.LAST_ANSWER, "1h", "bucket", **mine), "le", "kind")
                   + ")", "{{kind}}"), limit=1),
    ]  # fmt: skip
    history = [
        listing("Revisions", "Every change of the route: who, why, when.", reads(REVISIONS)),
        listing("Alarms", "Tests that rejected; the onset is an estimate without a promise.",
                reads(ALARMS)),
        listing("Remedies", "What was done or proposed about alarms, and how it turned out.",
                reads(REMEDIES),
                links={"incident": ("Incident in the console",
                                    "${console}/?alert=${__value.raw}")}),
    ]  # fmt: skip
    return assembled(
        UID, "Leadsman / Application", "One application: how well its versions answer, how fast, "
        "and what was changed.",
        [("Now", now), ("Quality", quality), ("Service", service), ("History", history)],
        console=console, link="/?application=${application:percentencode}",
        variables=[application_variable(), version_variable(), segment_variable()],
        only=f"AND {MINE}",
    )  # fmt: skip
