"""The demo at a higher speed, up to the end of its first act."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import images
from tests.support.service import command, environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.parametrize(
    "launcher", ["process", pytest.param("docker", marks=pytest.mark.containers)]
)
def test_the_bad_release_is_rolled_back_and_nothing_is_lost(tmp_path: Path, launcher: str) -> None:
    if launcher == "docker":
        images.base_image()
    report = tmp_path / "r.json"
    words = ["demo", "--exit", "--speed", "400", "--until", "10200", "--report", str(report)]
    words += ["--launcher", launcher]
    done = subprocess.run(
        command(*words, "--data-dir", str(tmp_path / "data")),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    assert told["predictions_sent"] == told["predictions_recorded"] == 2_200
    assert told["feedback_sent"] == told["feedback_recorded"] == 2_200
    assert told["predictions_lost"] == told["predictions_repeated"] == told["false_alarms"] == 0
    # Nothing was set for it: it is watched as any application is.
    assert told["watches_configured"] == []
    act = told["acts"][0]
    assert act["onset_row"] == 9_000
    assert act["labels_to_alarm"] < 400
    assert act["remedy"]["kind"] == "roll_back"
    assert act["remedy"]["state"] == "acted"
    assert act["decision_to_last_bad_answer_ms"] is not None
    assert act["error_during"] > 2 * act["error_before"]
    assert act["error_after"] < act["error_during"]
    assert [one["kind"] for one in told["revisions"]] == ["change", "change", "rollback"]
    assert told["acts"][1]["alarm"] is None


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        command("demo", "--exit", "--data-dir", str(tmp_path)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "is not empty and holds no earlier demo" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
