"""What is around the panels of a dashboard: its variables, annotations and links."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import METRICS, RECORD, Json, RecordQuery, reads
from dashboards.queries import series
from serving.metrics import LATENCY, REVISION

TAG = "leadsman"


def application_variable() -> dashboard.QueryVariable:
    """Which application is shown: those that have a route while Prometheus looks."""
    return (
        dashboard.QueryVariable("application")
        .label("Application")
        .description("What a client calls.")
        .datasource(METRICS)
        .query(_label_values(series(REVISION), "application"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def version_variable() -> dashboard.QueryVariable:
    """Which of its versions; all of them at first."""
    answered = series(LATENCY, "count", application="$application")
    return (
        dashboard.QueryVariable("version")
        .label("Version")
        .description("Versions that have answered.")
        .datasource(METRICS)
        .query(_label_values(answered, "version"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


SEGMENTS = """SELECT DISTINCT segment AS __value,
CASE segment WHEN '' THEN 'everything' ELSE segment END AS __text
FROM subject_log WHERE application = ${application:sqlstring} ORDER BY 1"""


def segment_variable() -> dashboard.QueryVariable:
    """Which part of the traffic; everything where none is chosen."""
    return (
        dashboard.QueryVariable("segment")
        .label("Segment")
        .description("Part of the traffic that watches tell apart.")
        .datasource(RECORD)
        .query(SEGMENTS)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .current(models.VariableOption(selected=True, text="everything", value=""))
    )


def _label_values(selector: str, label: str) -> str:
    return f"label_values({selector}, {label})"


class _AnnotationTarget(models.AnnotationTarget):
    """A statement to Postgres that gives the columns time, text and tags."""

    def __init__(self, sql: str) -> None:
        super().__init__(limit=200, type_val="tags")
        self.sql = sql

    def to_json(self) -> Json:
        asked = RecordQuery(self.sql, "Anno", "table").to_json()
        return {**super().to_json(), **asked}


def annotations(only: str = "") -> list[Builder[models.AnnotationQuery]]:
    """Alarms and revisions of the route, over every chart.

    Parameters
    ----------
    only
        A condition in SQL, beginning with AND.
    """
    found = {
        ("Alarms", "red"): f"""SELECT alarmed_at AS time,
            application || ': ' || coalesce(watch, 'a watch that was removed') || ' of ' || version
            || CASE segment WHEN '' THEN '' ELSE ' where ' || segment END AS text,
            tier AS tags
            FROM alarm_log WHERE $__timeFilter(alarmed_at) {only} ORDER BY 1""",
        ("Revisions", "blue"): f"""SELECT created_at AS time,
            application || ': revision ' || revision || ' (' || kind || ') by ' || actor || ': '
            || serves AS text, kind AS tags
            FROM revision_log WHERE $__timeFilter(created_at) {only} ORDER BY 1""",
    }
    made: list[Builder[models.AnnotationQuery]] = []
    for (name, colour), sql in found.items():
        target = _AnnotationTarget(reads(sql).text)
        query = dashboard.AnnotationQuery().name(name).datasource(RECORD).enable(True)
        built = query.icon_color(colour).build()
        built.target = target
        made.append(_Ready(built))
    return made


class _Ready(Builder[Any]):
    """Something built already, where a builder is asked for."""

    def __init__(self, built: Any) -> None:
        self._built = built

    def build(self) -> Any:
        return self._built


def _links(console: str) -> list[Builder[models.DashboardLink]]:
    there = (
        dashboard.DashboardLink("Console")
        .type(models.DashboardLinkType.LINK)
        .url(console)
        .icon("external link")
        .tooltip("The monitor's own page: incidents, approvals, evidence")
        .target_blank(True)
    )
    others = (
        dashboard.DashboardLink("Leadsman")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
    )
    return [there, others]


_NEWER_STAT = {"percentChangeColorMode": "standard", "showPercentChange": False, "wideLayout": True}
"""What Grafana asks of a number since the SDK was made, at the values that it takes by itself."""


def assembled(
    uid: str,
    title: str,
    about: str,
    rows: Iterable[tuple[str, Sequence[Any]]],
    *,
    console: str,
    link: str = "/",
    variables: Sequence[Any] = (),
    only: str = "",
) -> Json:
    """A dashboard of rows of panels.

    Parameters
    ----------
    link
        Path of the console's view that shows the same.
    only
        Which alarms and revisions are marked; a condition in SQL, beginning with AND.
    """
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .editable()
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .annotations(annotations(only))
        .links(_links(f"{console}{link}"))
        .variables([dashboard.ConstantVariable("console").value(console), *variables])
    )
    for name, panels in rows:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    built = made.build()
    for place, panel in enumerate(built.panels or [], 1):
        panel.id_val = place
    plain: Json = json.loads(json.dumps(built, cls=JSONEncoder))
    for panel in plain["panels"]:
        if panel["type"] == "stat":
            panel["options"] |= _NEWER_STAT
    return plain
