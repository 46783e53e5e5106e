"""`leadsman automation` and `incident` against a monitor that a test answers for."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from leadsman.cli import app
from tests.support.http_server import Call, http_server

SWITCH = {"enabled": False, "reason": "storm", "actor": "kim", "at": "2026-11-24T03:00:00Z"}
UNTOUCHED = {"enabled": True, "reason": None, "actor": None, "at": None}
ONE = {
    "application": "market",
    "enabled": False,
    "switch": UNTOUCHED,
    "of_all": SWITCH,
    "begun": [],
}
ALL = {"enabled": False, "switch": SWITCH, "applications": [ONE], "begun": [7]}
INCIDENT = {
    "id": 17,
    "application": "market",
    "title": "market: the loss of price:2 changed",
    "versions": "price:2",
    "tier": "rollback",
    "state": "resolved",
    "onset_at": "2026-11-24T03:00:00Z",
    "opened_at": "2026-11-24T03:01:00Z",
    "resolved_at": None,
    "seconds": {"onset_to_alert": 60.0, "alert_to_act": 0.4, "alert_to_recovery": None},
    "alert": {"how_sure": {"promise": "At most one."}, "how_bad": {}},
    "timeline": [
        {
            "at": "2026-11-24T03:01:00Z",
            "who": "monitor",
            "what": "alarm",
            "sentence": "alert opened by watch loss",
            "detail": {},
        }
    ],
    "remedies": [],
}


def run(monkeypatch: pytest.MonkeyPatch, answer: Any, *words: str) -> tuple[str, list[Call]]:
    with http_server(lambda _: (200, answer)) as server:
        monkeypatch.setenv("LEADSMAN_MONITOR_URL", server.url)
        monkeypatch.setenv("LEADSMAN_URL", server.url)
        monkeypatch.setenv("LEADSMAN_API_KEY", "lsm_key")
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        return done.output, server.calls


def test_all_automation_is_switched_off_for_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    said, calls = run(monkeypatch, ALL, "automation", "off", "--reason", "storm")
    assert (calls[0].method, calls[0].path) == ("PUT", "/v1/automation")
    assert calls[0].body == {"enabled": False, "reason": "storm"}
    assert "all applications: off, turned by kim at 2026-11-24T03:00:00: storm" in said
    assert "remedy 7 was begun before" in said


def test_one_application_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    _, calls = run(monkeypatch, ONE, "automation", "on", "market")
    assert (calls[0].path, calls[0].body) == ("/v1/automation/market", {"enabled": True})


def test_the_switches_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said, calls = run(monkeypatch, ALL, "automation", "status")
    assert calls[0].method == "GET"
    assert "market" in said


def test_an_incident_is_a_timeline_or_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    said, calls = run(monkeypatch, INCIDENT, "incident", "17")
    assert calls[0].path == "/v1/incidents/17"
    assert "2026-11-24 03:01:00  monitor: alert opened by watch loss" in said
    told, _ = run(monkeypatch, INCIDENT, "incident", "17", "--json")
    assert json.loads(told) == INCIDENT
    text, _ = run(monkeypatch, INCIDENT, "incident", "17", "--markdown")
    assert text.startswith("# Incident 17: market: the loss of price:2 changed\n")
    assert "- 2026-11-24 03:01:00Z **monitor** alert opened by watch loss" in text
