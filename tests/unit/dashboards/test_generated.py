"""What dashboards, provisioning and rules are made of; the files are what the code makes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import build, provisioning, rules
from dashboards.queries import UnknownLabelError, series
from serving import metrics as serving

ROOT = Path(__file__).parents[3]
ALERTS = [*rules.serving_alerts(), *rules.monitor_alerts()]


@pytest.fixture(scope="module")
def dashboards() -> list[dict[str, Any]]:
    return build.dashboards()


def _panels(dashboards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for each in dashboards for one in each["panels"] if one["type"] != "row"]


def test_the_files_are_what_the_code_makes() -> None:
    assert build.differences() == []


def test_the_dashboards_are_as_grafanas_own_types_have_it() -> None:
    assert build.faults() == []


def test_a_fault_is_found_and_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = build.dashboards()[0]
    chart = next(one for one in wrong["panels"] if one["type"] == "timeseries")
    chart["fieldConfig"]["defaults"]["custom"]["lineWidth"] = "thick"
    wrong["panels"][1]["options"] = 3
    monkeypatch.setattr(build, "dashboards", lambda console: [wrong])
    found = build.faults()
    assert any(one.startswith("leadsman-fleet at /panels/1/options") for one in found)
    place = f"/panels/{wrong['panels'].index(chart)}/fieldConfig/defaults/custom/lineWidth"
    assert f"leadsman-fleet at {place}: 'thick' is not of type 'number'" in found


def test_building_twice_changes_nothing_and_removes_what_is_left_over(tmp_path: Path) -> None:
    assert sorted(build.write(tmp_path)) == sorted(build.files())
    assert build.write(tmp_path) == []
    (tmp_path / "grafana" / "old.json").write_text("{}")
    assert build.differences(tmp_path) == ["grafana/old.json is not made by the code"]
    assert build.write(tmp_path) == ["grafana/old.json"]


def test_every_panel_says_what_it_shows_and_asks_one_known_source(
    dashboards: list[dict[str, Any]],
) -> None:
    for panel in _panels(dashboards):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["targets"], panel["title"]
        sources = {target["datasource"]["uid"] for target in panel["targets"]}
        assert sources == {panel["datasource"]["uid"]}
        assert sources <= {provisioning.PROMETHEUS, provisioning.POSTGRES}


def test_panels_have_numbers_of_their_own_and_do_not_overlap(
    dashboards: list[dict[str, Any]],
) -> None:
    for dashboard in dashboards:
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers)
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_alarms_and_revisions_are_marked_and_the_console_is_linked_everywhere(
    dashboards: list[dict[str, Any]],
) -> None:
    for dashboard in dashboards:
        marks = [one["name"] for one in dashboard["annotations"]["list"]]
        assert marks == ["Alarms", "Revisions"]
        assert any(link["url"].startswith(provisioning.CONSOLE) for link in dashboard["links"])


def test_application_and_drift_have_their_variables(dashboards: list[dict[str, Any]]) -> None:
    names = {one["uid"]: [v["name"] for v in one["templating"]["list"]] for one in dashboards}
    chosen = ["console", "application", "version", "segment"]
    assert names["leadsman-application"] == names["leadsman-drift"] == chosen
    assert names["leadsman-fleet"] == ["console"]


def test_the_console_is_where_the_operator_says() -> None:
    text = json.dumps(build.dashboards("https://watch.example.com"))
    assert "https://watch.example.com/?application=" in text
    assert provisioning.CONSOLE not in text


def test_provisioning_holds_no_secret_and_names_what_panels_refer_to() -> None:
    sources = provisioning.data_sources()["datasources"]
    assert [one["uid"] for one in sources] == [provisioning.PROMETHEUS, provisioning.POSTGRES]
    assert sources[1]["secureJsonData"] == {"password": "${LEADSMAN_POSTGRES_PASSWORD}"}
    said = (ROOT / "docs" / "grafana.md").read_text()
    assert [name for name in provisioning.VARIABLES if f"`{name}`" not in said] == []


def test_a_label_that_a_metric_does_not_have_stops_the_build() -> None:
    with pytest.raises(UnknownLabelError, match="received 'model'"):
        series(serving.REVISION, model="m")
    assert series(serving.REVISION, application="~a|b") == (
        'leadsman_serving_route_revision{application=~"a|b"}'
    )


def test_every_alert_is_documented_with_what_to_do_and_no_other() -> None:
    page = (ROOT / "docs" / "alert-rules.md").read_text()
    headings = re.findall(r"^### (\w+)\n\n(.+)", page, re.MULTILINE)
    assert [name for name, _ in headings] == [alert.name for alert in ALERTS]
    for alert in ALERTS:
        assert f"`{alert.severity}`" in dict(headings)[alert.name], alert.name


def test_prometheus_scrapes_the_jobs_that_rules_and_panels_name() -> None:
    settings = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = [job["job_name"] for job in settings["scrape_configs"]]
    assert jobs == [rules.SERVING_JOB, rules.MONITOR_JOB]


def test_what_inhibits_and_is_inhibited_are_alerts_that_there_are() -> None:
    text = (ROOT / "deploy" / "prometheus" / "alertmanager.yml").read_text()
    assert set(re.findall(r"Leadsman\w+", text)) <= {alert.name for alert in ALERTS}
