"""`leadsman dashboards build` and `check` on a folder of one's own."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from dashboards import build
from leadsman.cli import app
from leadsman.errors import CommandError

OWN = ["--console-url", "https://watch.example.com/"]


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["dashboards", *map(str, words)])


def test_a_set_with_another_console_is_built_and_checked(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    built = _run("build", "--folder", folder, *OWN, "--json")
    assert sorted(json.loads(built.stdout)["changed"]) == sorted(build.files())
    assert (
        "https://watch.example.com/?application="
        in (folder / "grafana/dashboards/application.json").read_text()
    )
    assert _run("check", "--folder", folder, *OWN).exit_code == 0
    # The same folder is not what the code makes for the usual address.
    other = _run("check", "--folder", folder)
    assert isinstance(other.exception, CommandError)
    assert "is not what the code makes (5 in all)" in str(other.exception)


def test_a_file_that_was_changed_by_hand_is_named(tmp_path: Path) -> None:
    _run("build", "--folder", tmp_path)
    (tmp_path / "prometheus/leadsman.rules.yml").write_text("groups: []\n")
    found = _run("check", "--folder", tmp_path, "--json")
    assert json.loads(found.stdout)["differences"] == [
        "prometheus/leadsman.rules.yml is not what the code makes"
    ]
    assert isinstance(found.exception, CommandError)


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    refused = _run("build", "--folder", tmp_path)
    assert isinstance(refused.exception, CommandError)
    assert "thesis.txt" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
