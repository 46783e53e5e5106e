"""What dashboards show: charts, numbers and lists, and what they ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.provisioning import POSTGRES, PROMETHEUS

Json = dict[str, Any]

METRICS = models.DataSourceRef(type_val="prometheus", uid=PROMETHEUS)
RECORD = models.DataSourceRef(type_val="postgres", uid=POSTGRES)
WIDE, HALF, THIRD, SIXTH = 24, 12, 8, 4
"""Widths of a panel in columns of the grid."""


class Unit(StrEnum):
    """Units in Grafana's words."""

    NONE = "none"
    COUNT = "short"
    SHARE = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    A_SECOND = "reqps"
    ROWS_A_SECOND = "rowsps"


@dataclass(frozen=True, slots=True)
class RecordQuery(Dataquery):
    """A statement to Postgres, in the words of Grafana's data source for it."""

    sql: str
    ref: str
    format: str

    def to_json(self) -> Json:
        return {
            "datasource": RECORD.to_json(),
            "refId": self.ref,
            "editorMode": "code",
            "rawQuery": True,
            "rawSql": self.sql,
            "format": self.format,
        }


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks: PromQL with a legend, or SQL."""

    text: str
    legend: str = ""
    sql: bool = False


def asks(promql: str, legend: str = "") -> Query:
    """A question to Prometheus. The legend names labels in double braces."""
    return Query(promql, legend)


def reads(sql: str) -> Query:
    """A question to the record, as the role that may read its views alone.

    For a chart it gives the columns time, metric and value, in order of time.
    """
    return Query("\n".join(line.strip() for line in sql.strip().splitlines()), sql=True)


class _Built(Builder[Dataquery]):
    """A query as the builders of panels take it."""

    def __init__(self, query: Query, ref: str, *, instant: bool) -> None:
        self._query, self._ref, self._instant = query, ref, instant

    def build(self) -> Dataquery:
        if self._query.sql:
            shape = "table" if self._instant else "time_series"
            return RecordQuery(self._query.text, self._ref, shape)
        built = prometheus.Dataquery().expr(self._query.text).ref_id(self._ref).datasource(METRICS)
        built = built.legend_format(self._query.legend or "__auto")
        if self._instant:
            return built.instant().format(PromQueryFormat.TABLE).build()
        return built.range().build()


def _filled(panel: Any, title: str, about: str, queries: Sequence[Query], *, instant: bool) -> Any:
    kinds = {query.sql for query in queries}
    if len(kinds) != 1:
        raise ValueError(f"{title}: expected queries of one data source")
    source = RECORD if kinds.pop() else METRICS
    panel = panel.title(title).description(about).datasource(source)
    for number, query in enumerate(queries):
        panel = panel.with_target(_Built(query, chr(ord("A") + number), instant=instant))
    return panel


def chart(
    title: str,
    about: str,
    unit: Unit,
    *queries: Query,
    width: int = HALF,
    most: float | None = None,
    limit: float | None = None,
    bands: bool = False,
) -> timeseries.Panel:
    """Lines over time.

    Parameters
    ----------
    about
        What is drawn and what to make of it: shown at the panel's i.
    most
        Upper end of the axis, where the quantity has one.
    limit
        Drawn as a line in red: beyond it something is wrong.
    bands
        Whether series called `... low` and `... high` are the bounds of an interval.
    """
    panel: timeseries.Panel = _filled(timeseries.Panel(), title, about, queries, instant=False)
    panel = (
        panel.unit(unit)
        .height(8).span(width)
        .line_width(1).fill_opacity(6).show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM).show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )  # fmt: skip
    if unit != Unit.NONE:
        panel = panel.min(0)
    if most is not None:
        panel = panel.max(most)
    if limit is not None:
        panel = panel.thresholds(_limit(limit)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        )
    if bands:
        faint = [("custom.lineWidth", 1), ("custom.fillOpacity", 0),
                 ("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
                 ("custom.lineStyle", {"fill": "dash", "dash": [4, 4]})]  # fmt: skip
        panel = panel.override_by_regexp(
            "/ (low|high)$/",
            [models.DynamicConfigValue(id_val=name, value=value) for name, value in faint],
        )
    return panel


def number(
    title: str,
    about: str,
    unit: Unit,
    *queries: Query,
    width: int = SIXTH,
    limit: float | None = None,
    good_above: float | None = None,
) -> stat.Panel:
    """The newest value, in red beyond a limit, or in red below what is good."""
    panel: stat.Panel = _filled(stat.Panel(), title, about, queries, instant=False)
    panel = panel.unit(unit).height(4).span(width).graph_mode(common_models.BigValueGraphMode.AREA)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if limit is not None:
        panel = panel.thresholds(_limit(limit))
    elif good_above is not None:
        panel = panel.thresholds(_limit(good_above, below="red", above="green"))
    else:
        panel = panel.thresholds(_limit(None))
    return panel


def listing(
    title: str, about: str, *queries: Query, width: int = WIDE, height: int = 8,
    links: dict[str, tuple[str, str]] | None = None,
) -> table.Panel:  # fmt: skip
    """Rows.

    Parameters
    ----------
    links
        By column: title and address of where a click on its value leads.
    """
    panel: table.Panel = _filled(table.Panel(), title, about, queries, instant=True)
    panel = panel.height(height).span(width).show_header(True)
    for column, (said, address) in (links or {}).items():
        link = {"title": said, "url": address, "targetBlank": address.startswith("${console}")}
        panel = panel.override_by_name(
            column, [models.DynamicConfigValue(id_val="links", value=[link])]
        )
    return panel


def _limit(limit: float | None, *, below: str = "green", above: str = "red") -> Any:
    steps = [models.Threshold(value=None, color=below)]
    if limit is not None:
        steps.append(models.Threshold(value=limit, color=above))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
