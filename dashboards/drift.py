"""*Drift*: what moved, how far, and what the tests make of it."""

from dashboards.application import CHOSEN, MINE, OF_SUBJECTS, OF_VERSIONS, STEP, over_time
from dashboards.frame import application_variable, assembled, segment_variable, version_variable
from dashboards.panels import WIDE, Json, Unit, asks, chart, listing, reads
from dashboards.provisioning import CONSOLE
from dashboards.queries import added, increase, largest, series
from monitor import metrics as monitor

UID = "leadsman-drift"

WATCHES = f"""
    SELECT watch, signal, detector, tier, version, segment, status, status_reason AS "why",
           statistic, observations, granted AS "granted so far", alarms,
           last_observed_at AS "last observed"
      FROM watch_log WHERE {MINE} AND (version IN (${{version:sqlstring}})
           OR version LIKE '% against %')
     ORDER BY statistic DESC LIMIT 200
"""
BY_FEATURE = """
    SELECT s.at AS time, f.feature || ' ' || u.version AS metric, s.mean AS value
      FROM subject_log u
      JOIN feature_log f ON f.application = u.application
      JOIN signal_log s ON s.application = u.application AND s.subject = u.subject
       AND s.signal = '{family}.' || f.feature
     WHERE {chosen} AND {step} AND $__timeFilter(s.at)
     ORDER BY 1
"""
SEGMENTS = f"""
    SELECT s.at AS time, CASE u.segment WHEN '' THEN 'everything' ELSE u.segment END || ' '
           || u.version AS metric, s.mean AS value
    {OF_SUBJECTS.strip()}
     WHERE {OF_VERSIONS} AND s.signal = 'loss' AND {STEP} AND $__timeFilter(s.at)
     ORDER BY 1
"""


def by_feature(family: str) -> str:
    """SQL of the means of a family of signals, one for each feature."""
    return BY_FEATURE.format(family=family, chosen=CHOSEN, step=STEP)


def build(console: str = CONSOLE) -> Json:
    """The dashboard."""
    mine = {"application": "$application"}
    statistic = series(
        monitor.STATISTIC, application="$application", segment="$segment",
        version="~(${version:regex})( against .*)?",
    )  # fmt: skip
    tests = [
        chart("Evidence by watch", "What each watch has gathered against \"all is as it was\". A "
              "guaranteed watch alarms at its threshold of 1.", Unit.NONE,
              asks(largest(statistic, "watch", "version"), "{{watch}} {{version}}"),
              asks(largest(series(monitor.THRESHOLD, **mine)), "alarm"), width=WIDE, limit=1),
        chart("Alarms", "Alarms raised within an hour, by watch.", Unit.COUNT,
              asks(added(increase(monitor.ALARMS, "1h", **mine), "watch", "tier"),
                   "{{watch}} ({{tier}})")),
        chart("What watches can say", "Versions and segments by state of their watches. A watch "
              "that learns or refuses to arm says nothing; why is in the table.", Unit.COUNT,
              asks("sum by (status) ("
                   + largest(series(monitor.WATCHES, **mine), "watch", "tier", "status") + ")",
                   "{{status}}")),
        chart("Budget: false alarms expected at most", "What the guaranteed watches of each tier "
              "were granted so far: the promise on the number of their false alarms.", Unit.NONE,
              asks(largest(series(monitor.GRANTED, **mine), "tier"), "{{tier}} granted")),
        chart("Budget: alarms raised", "Alarms of guaranteed watches, true or false, to set "
              "against what was granted.", Unit.COUNT,
              asks(largest(series(monitor.SPENT, **mine), "tier"), "{{tier}} raised")),
        listing("Watches", "Every watch with what it says of each version and segment, the most "
                "evidence first; why it does not arm where it does not.", reads(WATCHES),
                height=10),
    ]  # fmt: skip
    moved = [
        chart("Outputs", "Mean output by version, or share of the class, with its 95 % interval: "
              "what drifts here without labels is prediction drift.", Unit.NONE,
              reads(over_time("output")), bands=True),
        chart("Scores", "Mean score by version with its 95 % interval.", Unit.NONE,
              reads(over_time("score")), bands=True),
        chart("Features", "Mean of each numeric feature. Which moved most against the reference "
              "is in the console.", Unit.NONE, reads(by_feature("feature"))),
        chart("Faulty values", "Share of values that are missing, of the wrong kind or out of "
              "range, by feature; nothing is drawn where there are none.", Unit.SHARE,
              reads(by_feature("quality"))),
        chart("Loss by segment", "Mean loss by segment: a fault in one of them may not show in "
              "the whole.", Unit.NONE, reads(SEGMENTS), width=WIDE),
    ]  # fmt: skip
    return assembled(
        UID, "Leadsman / Drift", "What the tests say of one application, and the signals that "
        "they say it of.",
        [("Tests", tests), ("What moved", moved)],
        console=console, link="/?application=${application:percentencode}",
        variables=[application_variable(), version_variable(), segment_variable()],
        only=f"AND {MINE}",
    )  # fmt: skip
