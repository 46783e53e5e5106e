"""What an operator may say of pods, and what stops the start."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import serving.__main__ as program
from serving.launchers.kubernetes_settings import KubernetesSettings

ENOUGH = {"artefacts": "claim:a", "image": "registry.example/replica:{environment}"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("image", "{digest}", "{environment}"),
        ("image", "two words", "expected an image"),
        ("image", "/no-host", "expected an image"),
        ("artefacts", "nfs:there", "claim:NAME"),
        ("artefacts", "host:relative", "host:/FOLDER"),
        ("max_unavailable", "most", "a number"),
        ("namespace", "Upper", "lower-case"),
    ],
)
def test_a_wrong_value_is_said_with_what_was_expected(name: str, value: str, why: str) -> None:
    given: dict[str, Any] = ENOUGH | {name: value}
    with pytest.raises(ValidationError, match=why):
        KubernetesSettings(**given)


def test_serving_does_not_start_without_the_image_of_its_replicas(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["serving"])
    monkeypatch.setenv("SERVING_DATABASE_URL", "postgresql://a:b@localhost:1/c")
    monkeypatch.setenv("SERVING_LAUNCHER", "kubernetes")
    monkeypatch.setenv("SERVING_KUBERNETES_ARTEFACTS", "claim:a")
    # As a manifest has it where nobody has filled it in.
    monkeypatch.setenv("SERVING_KUBERNETES_IMAGE", "")
    assert program.main() == 2
    assert capsys.readouterr().err == "SERVING_KUBERNETES_IMAGE: Field required\n"
