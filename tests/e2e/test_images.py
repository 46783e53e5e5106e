"""`deploy/images` as an operator runs it: what a cluster pulls is built, labelled and pushed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.images import ROOT, docker, our_image
from tests.support.registry import images_in, registry

# The same as that of the other test that builds ours: its layers are there for both.
VERSION = "0.0.test"

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


def images(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "deploy/images", *words],
        env=os.environ | {"VERSION": VERSION} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_image_of_replicas_is_built_by_what_serving_would_ask_for_and_pushed(
    tmp_path: Path,
) -> None:
    ours = our_image(VERSION)
    done = images("replica", "--framework", "python")
    assert done.returncode == 0, done.stderr
    asked = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "python", ours,
        "-m", "serving.launchers.replica_image", "--framework", "python",
    )  # fmt: skip
    name, _ = asked.split()
    label = '{{index .Config.Labels "org.opencontainers.image.version"}}'
    assert docker("image", "inspect", "--format", label, name) == VERSION
    with registry(tmp_path) as address:
        pushed = images("push", REGISTRY=f"{address}/ml")
        assert pushed.returncode == 0, pushed.stderr
        assert f"ml/{name}" in images_in(address)
        assert f"SERVING_KUBERNETES_IMAGE: {address}/ml/leadsman-replica:{{environment}}" in (
            pushed.stdout
        )
        for image in images_in(address):
            docker("image", "rm", f"{address}/{image}")


def test_what_is_missing_is_said_in_one_line() -> None:
    without = images("push", VERSION="0.0.nothing")
    assert (without.returncode, without.stderr) == (
        1, "deploy/images: expected REGISTRY=registry.example/ml, got none\n",
    )  # fmt: skip
    nothing = images("push", VERSION="0.0.nothing", REGISTRY="registry.example")
    assert nothing.returncode == 1
    assert "no image of version 0.0.nothing is there" in nothing.stderr
    unknown = images("replica", "--framework", "python", VERSION="0.0.nothing")
    assert (unknown.returncode, unknown.stderr) == (
        1, "deploy/images: leadsman:0.0.nothing is not there: deploy/images build\n",
    )  # fmt: skip
    assert images("raise").returncode == 2
