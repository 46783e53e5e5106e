"""Which launchers the contract is held against."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.launchers.base import Launcher
from tests.contract.launchers.launching import launcher_of

ROOT = Path(__file__).parents[3]
CONTAINERS = pytest.mark.containers


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base of replicas' images; made from this machine where there is none."""
    import docker
    from docker.errors import ImageNotFound

    name = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    client = docker.from_env()
    try:
        client.images.get(name)
    except ImageNotFound:
        subprocess.run([ROOT / "deploy/base-image", sys.executable, name], check=True)
    finally:
        client.close()
    return name


@pytest.fixture(
    params=[
        "process",
        pytest.param("docker", marks=CONTAINERS),
        pytest.param("docker over TCP", marks=CONTAINERS),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of launcher."""
    if request.param != "process":
        request.getfixturevalue("base_image")
    return str(request.param)


@pytest.fixture
def launcher(kind: str, tmp_path: Path) -> Launcher:
    """A launcher with a folder of its own."""
    return launcher_of(kind, tmp_path / "replicas")
