"""Which launchers the contract is held against."""

from pathlib import Path

import pytest

from serving.launchers.base import Launcher
from tests.contract.launchers.launching import launcher_of
from tests.support import images

CONTAINERS = pytest.mark.containers
KUBERNETES = [pytest.mark.kubernetes, pytest.mark.timeout(300)]


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base of replicas' images."""
    return images.base_image()


@pytest.fixture(
    params=[
        "process",
        pytest.param("docker", marks=CONTAINERS),
        pytest.param("docker over TCP", marks=CONTAINERS),
        pytest.param("kubernetes", marks=KUBERNETES),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of launcher."""
    if request.param == "kubernetes":
        request.getfixturevalue("node")
    elif request.param != "process":
        request.getfixturevalue("base_image")
    return str(request.param)


@pytest.fixture
def launcher(kind: str, tmp_path: Path) -> Launcher:
    """A launcher with a folder of its own."""
    return launcher_of(kind, tmp_path / "replicas")
