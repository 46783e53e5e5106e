"""The commands as a person types them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import RunningUp, command, environment, running_up

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
GOOD = "def predict(rows):\n    return (rows[:, 0] > 0.5).astype(float)\n"
BAD = "def predict(rows):\n    return (rows[:, 0] < 0.5).astype(float)\n"
BROKEN = "import sys\nsys.exit('no weights here')\n"
ROWS = "load,hour,label\n0.9,12,1\n0.1,3,0\n"
ROW = '{"load": 0.9, "hour": 12}'


def call(
    *words: str, folder: Path, status: int = 0, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; check its exit status, and that an error is one line."""
    path = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(path | (extra or {})),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done
    if status:
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
    return done


def told(*words: str, folder: Path) -> Any:
    """Run a command and read its JSON."""
    return json.loads(call(*words, "--json", folder=folder).stdout)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """Run the service on `.leadsman` in a folder of its own."""
    folder = tmp_path_factory.mktemp("commands")
    for name, text in (("good", GOOD), ("bad", BAD), ("broken", BROKEN)):
        (folder / f"{name}.py").write_text(text)
    (folder / "rows.csv").write_text(ROWS)
    with running_up(folder / ".leadsman") as running:
        yield running


def test_from_nothing_to_a_rollback(up: RunningUp) -> None:
    folder = up.data_dir.parent
    assert "no applications yet" in call("status", folder=folder).stdout
    deploy = ("deploy", "alerts")
    model = ("--model", "overload")
    rows = ("--reference", "rows.csv", "--label", "label")
    first = told(
        *(*deploy, "good.py", "--entry", "good:predict", *model, "--version", "1", *rows),
        folder=folder,
    )
    assert first["policy"] == {"kind": "single", "champion": "overload:1"}
    answer = told("predict", "alerts", ROW, folder=folder)
    assert (answer["output"], answer["version"]) == (1.0, "1")
    assert "label accepted" in call("feedback", answer["id"], "1", folder=folder).stdout
    assert "label duplicates" in call("feedback", answer["id"], "1", folder=folder).stdout

    second = told(
        *(*deploy, "bad.py", "--entry", "bad:predict", *model, "--version", "2"), folder=folder
    )
    assert second["policy"] == {
        "kind": "shadow",
        "champion": "overload:2",
        "challengers": ["overload:1"],
    }
    assert told("predict", "alerts", ROW, folder=folder)["output"] == 0.0

    broken = call(
        *(*deploy, "broken.py", "--entry", "broken:predict", *model, "--version", "3"),
        folder=folder,
        status=1,
    )
    assert "no weights here" in broken.stderr
    assert told("status", "alerts", folder=folder)["route"]["revision"] == 2

    back = told("rollback", "alerts", "--reason", "wrong way round", folder=folder)
    assert (back["revision"], back["kind"], back["restores"]) == (3, "rollback", 1)
    assert back["reason"] == "wrong way round"
    assert told("predict", "alerts", ROW, folder=folder)["output"] == 1.0
    said = call("status", folder=folder).stdout
    assert "alerts: revision 3" in said
    assert told("alerts", folder=folder) == []
    assert told("remedies", "list", folder=folder) == []


def test_keys_are_made_used_listed_and_revoked(up: RunningUp) -> None:
    folder = up.data_dir.parent
    made = told("keys", "create", "shop", "--scope", "predict", folder=folder)
    limited = {"LEADSMAN_API_KEY": made["key"]}
    refused = call("status", folder=folder, status=1, extra=limited)
    assert "scope_missing" in refused.stderr
    assert "shop" in [key["name"] for key in told("keys", "list", folder=folder)]
    call("keys", "revoke", made["id"], folder=folder)
    refused = call("predict", "alerts", ROW, folder=folder, status=1, extra=limited)
    assert "unauthenticated" in refused.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("predict", "alerts", "{"), "the input is not JSON"),
        (("predict", "nothing", ROW), "application_not_found"),
        (("predict", "alerts", '{"load": 0.9}'), "invalid_input"),
        (("rollback", "nothing"), "application_not_found"),
        (("feedback", "no-id", "1"), ""),
        (("deploy", "x", "absent.joblib", "--model", "m", "--version", "1"), "no artefact"),
        (("deploy", "x", "rows.csv", "--model", "m", "--version", "1"), "give --framework"),
        (
            (
                *("deploy", "x", "good.py", "--model", "m", "--version", "1"),
                *("--reference", "rows.csv", "--label", "truth"),
            ),
            "has no column 'truth'; it has load, hour, label",
        ),
        (("replay",), "name either an --application or a --file"),
        (("replay", "--file", "absent.csv"), "absent.csv"),
        (("replay", "--application", "nothing"), "nothing"),
        (("remedies", "approve", "999"), "999"),
        (("status", "nothing"), "application_not_found"),
        (("migrate",), "no database named"),
    ],
)
def test_a_wrong_command_ends_with_one_line(
    up: RunningUp, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in call(*words, folder=up.data_dir.parent, status=1).stderr


def test_without_a_service_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    where = {"LEADSMAN_URL": "http://127.0.0.1:9"}
    done = call("status", folder=tmp_path, status=1, extra=where)
    assert "no answer from http://127.0.0.1:9" in done.stderr
    assert "leadsman up" in done.stderr


def test_a_file_is_replayed(tmp_path: Path) -> None:
    lines = ["predicted_at,x,output,label"]
    for row in range(6000):
        label = 1 if row % 10 == 0 or (row > 4000 and row % 2 == 0) else 0
        lines.append(
            f"2026-01-{row // 600 + 1:02d}T{row % 600 // 60:02d}:{row % 60:02d}:00Z,1,0,{label}"
        )
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    report = told("replay", "--file", "rows.csv", folder=tmp_path)
    assert report["rows"] == 6000
    assert {"rows", "seconds", "watches", "expected_false_alarms", "alarms"} <= set(report)
    first = [alarm["row"] for alarm in report["alarms"] if alarm["tier"] == "page"]
    assert first
    assert min(first) > 4000


def test_the_first_steps_of_the_examples_work_as_they_are_written(
    up: RunningUp, tmp_path: Path
) -> None:
    text = (ROOT / "examples/frameworks/README.md").read_text()
    steps = text.split("```sh\n", 1)[1].split("```", 1)[0]
    assert "leadsman deploy" in steps
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", steps.replace("/tmp", str(tmp_path))],
        cwd=ROOT, env=environment({"PATH": programs, "LEADSMAN_DATA_DIR": str(up.data_dir)}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fraud:1 answers" in done.stdout
    assert "default" not in done.stdout.splitlines()[-1]
