"""Publishing against a stand-in that checks what Grafana's API checks."""

import json
import subprocess
from typing import Any

import pytest
from typer.testing import CliRunner

from dashboards import build, provisioning
from dashboards.publishing import Grafana, PublishError
from leadsman.cli import app
from tests.support.grafana import TOKEN, FakeGrafana, fake_grafana
from tests.support.service import command, environment, free_ports

DASHBOARDS = build.dashboards()
RECORD = provisioning.postgres("db:5432", "leadsman", "grafana", "secret", "require")
SOURCES = [provisioning.prometheus("http://prometheus:9090"), RECORD]


def _publish(there: FakeGrafana, sources: list[dict[str, Any]] | None = None) -> list[str]:
    done = Grafana(there.url, TOKEN).publish(SOURCES if sources is None else sources, DASHBOARDS)
    return [one.done for one in done]


def test_folder_sources_and_dashboards_are_made_once_and_repeating_changes_nothing() -> None:
    with fake_grafana() as there:
        assert set(_publish(there)) == {"made"}
        assert there.folders["leadsman"]["title"] == "Leadsman"
        assert there.sources["leadsman-postgres"]["secureJsonData"] == {"password": "secret"}
        assert set(there.dashboards) == {one["uid"] for one in DASHBOARDS}
        before = json.dumps([there.folders, there.dashboards])
        there.calls.clear()
        assert set(_publish(there)) == {"unchanged"}
        # The password cannot be compared, so it is written again.
        assert there.writes == ["PUT /api/datasources/uid/leadsman-postgres"]
        assert json.dumps([there.folders, there.dashboards]) == before


def test_what_somebody_changed_by_hand_is_put_right() -> None:
    with fake_grafana() as there:
        _publish(there)
        there.folders["leadsman"]["title"] = "Mine"
        there.sources["leadsman-prometheus"]["url"] = "http://elsewhere"
        there.dashboards["leadsman-fleet"]["dashboard"]["title"] = "Mine"
        there.dashboards["leadsman-drift"]["folderUid"] = "general"
        assert _publish(there).count("changed") == 4
        assert there.dashboards["leadsman-fleet"]["dashboard"]["title"] == "Leadsman / Fleet"
        assert there.dashboards["leadsman-drift"]["folderUid"] == "leadsman"
        assert there.sources["leadsman-prometheus"]["url"] == "http://prometheus:9090"


def test_a_password_stays_where_none_is_given() -> None:
    with fake_grafana() as there:
        _publish(there)
        without = {key: value for key, value in RECORD.items() if key != "secureJsonData"}
        assert set(_publish(there, [without | {"user": "other"}])) == {"unchanged", "changed"}
        kept = there.sources["leadsman-postgres"]
        assert (kept["user"], kept["secureJsonData"]) == ("other", {"password": "secret"})


def test_a_change_that_somebody_makes_meanwhile_is_seen_once_and_then_told() -> None:
    with fake_grafana() as there:
        _publish(there)
        there.dashboards["leadsman-fleet"]["dashboard"]["title"] = "Mine"
        there.edits_between = 1
        assert "changed" in _publish(there)
        there.dashboards["leadsman-fleet"]["dashboard"]["title"] = "Mine"
        there.edits_between = 2
        with pytest.raises(PublishError, match="changed by someone else"):
            _publish(there)


def test_grafanas_own_words_are_told() -> None:
    with fake_grafana() as there:
        with pytest.raises(PublishError, match="refused the folder: Unauthorized"):
            Grafana(there.url, "wrong").publish([], [])
        there.sources["x"] = {**SOURCES[0], "uid": "x", "version": 1}
        with pytest.raises(PublishError, match="data source with the same name already exists"):
            _publish(there)
    with pytest.raises(PublishError, match="no answer from Grafana"):
        Grafana(f"http://127.0.0.1:{free_ports(1)[0]}", TOKEN).publish([], [])
    with pytest.raises(PublishError, match="received 'grafana:3000'"):
        Grafana("grafana:3000", TOKEN)


def test_the_command_publishes_below_a_path_and_prints_what_it_did() -> None:
    with fake_grafana("/tools/grafana") as there:
        words = ["dashboards", "publish", "--grafana-url", there.url, "--token", TOKEN]
        words += ["--prometheus-url", "http://prometheus:9090", "--json"]
        done = CliRunner().invoke(app, [*words, "--console-url", "https://watch.example.com"])
        assert done.exit_code == 0, done.output
        published = json.loads(done.stdout)["published"]
        assert len(published) == 1 + 1 + len(DASHBOARDS)
        assert set(there.sources) == {"leadsman-prometheus"}
        assert "https://watch.example.com" in json.dumps(there.dashboards)


def test_a_command_that_fails_says_so_in_one_line() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    refused = subprocess.run(
        command("dashboards", "publish", "--grafana-url", url, "--token", TOKEN),
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert url in refused.stderr
