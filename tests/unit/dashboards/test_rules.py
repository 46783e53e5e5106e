"""The rules as Prometheus' own tool reads and runs them."""

import subprocess
from pathlib import Path

from tests.support.prometheus import CONFIGURATION, RULES, needed

CASES = Path(__file__).parents[2] / "data" / "rules" / "leadsman.test.yml"


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault_in_the_rules() -> None:
    needed("promtool")
    _run("promtool", "check", "rules", "--lint-fatal", str(RULES))


def test_alerts_fire_when_they_should_and_not_before() -> None:
    needed("promtool")
    _run("promtool", "test", "rules", str(CASES))


def test_the_configurations_are_sound() -> None:
    needed("promtool", "amtool")
    _run("promtool", "check", "config", "--syntax-only", str(CONFIGURATION / "prometheus.yml"))
    _run("amtool", "check-config", str(CONFIGURATION / "alertmanager.yml"))
