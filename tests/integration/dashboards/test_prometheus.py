"""Every query of every dashboard and every rule, asked of a real Prometheus, a real Alertmanager
and the real record, of a service that has lived a little."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dashboards import rules
from tests.support.http_server import Server, http_server
from tests.support.panels import empty_panels, empty_statements
from tests.support.prometheus import SCRAPE_SECONDS, Prometheus, faults_of, needed, prometheus
from tests.support.service import wait_until
from tests.support.watched import APPLICATIONS, Watched, watched

pytestmark = [pytest.mark.timeout(300), pytest.mark.e2e]

VERSIONS = ("m:1", "m:2", "m:slow", "price:1", "price:2")
RARE = {"LeadsmanRemedyFailed", "LeadsmanWatchRefused", "LeadsmanModelNotice"}
"""Alerts on series that only a fault brings about: the state that they look for is left out."""


@pytest.fixture(scope="module")
def service(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    needed("prometheus", "prometheus-alertmanager")
    with watched(module_database, tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Server]:
    with http_server(lambda _call: (200, {})) as server:
        yield server


@pytest.fixture(scope="module")
def asked(
    service: Watched, receiver: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus, after it has seen traffic, an alarm, a proposed remedy and a rollback."""
    targets = {
        rules.SERVING_JOB: str(service.serving.base_url).removeprefix("http://").rstrip("/"),
        rules.MONITOR_JOB: str(service.monitor.base_url).removeprefix("http://").rstrip("/"),
    }
    with prometheus(tmp_path_factory.mktemp("prometheus"), targets, receiver.url) as made:
        # A rate is of what grows between two scrapes, so the first one comes before the traffic.
        wait_until(lambda: len(made.query("up == 1")) == len(targets))
        service.traffic()
        assert service.serving.post("/v1/applications/fraud/rollback", json={}).status_code == 200
        wait_until(lambda: service.monitor.get("/v1/remedies").json(), within=60)
        allowed = {"budgets": {"page": 2}}
        assert service.monitor.put("/v1/applications/market/budget", json=allowed).is_success
        for figure in ("leadsman_label_coverage_ratio", "leadsman_application_budget_per_year"):
            wait_until(lambda name=figure: made.query(f'{name}{{application="market"}}'), within=60)

        def seen() -> bool:
            service.traffic(11)
            return bool(made.query(rules.DEFAULT_SHARE))

        wait_until(seen, within=60)
        time.sleep(2 * SCRAPE_SECONDS)
        yield made


def test_every_panel_of_metrics_shows_series(asked: Prometheus) -> None:
    assert empty_panels(asked, APPLICATIONS, VERSIONS) == []


def test_every_rule_is_evaluated_and_what_it_looks_at_is_there(asked: Prometheus) -> None:
    found = asked.rules()
    assert {rule["name"] for rule in found if rule["health"] != "ok"} == set()
    recorded = [one["record"] for one in rules.recorded()]
    alerts = [*rules.serving_alerts(), *rules.monitor_alerts()]
    assert len(found) == len(recorded) + len(alerts)
    looked_at = [
        re.sub(r'(state|status|tier)=~?"[^"]*",?', "", one.what) if one.name in RARE else one.what
        for one in alerts
    ]
    assert [one for one in (*recorded, *looked_at) if not asked.query(one)] == []


def test_an_alarm_of_a_model_reaches_people_through_alertmanager(
    asked: Prometheus, receiver: Server
) -> None:
    def alerts() -> list[dict[str, Any]]:
        return [alert for call in receiver.calls for alert in call.body["alerts"]]

    def told() -> list[dict[str, Any]]:
        wanted = {"alertname": "LeadsmanModelAlert", "application": "market"}
        return [one for one in alerts() if wanted.items() <= one["labels"].items()]

    wait_until(told)
    alert = told()[0]
    assert alert["status"] == "firing"
    assert alert["annotations"]["console"] == "http://127.0.0.1:8001/?application=market"
    assert alert["annotations"]["summary"].startswith("market: ")


def test_every_statement_of_a_dashboard_gives_rows_to_the_reader(
    asked: Prometheus, module_database: str
) -> None:
    assert asyncio.run(empty_statements(module_database, APPLICATIONS, VERSIONS)) == []


def test_what_serving_and_the_monitor_export_is_well_formed(service: Watched) -> None:
    needed("promtool")
    service.traffic(2)
    for client in (service.serving, service.monitor):
        assert faults_of(client.get("/metrics").content) == ""
