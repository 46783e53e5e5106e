"""A real image registry on loopback, where Debian's is installed."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.service import free_ports, wait_until

PROGRAM = "docker-registry"


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run one; yields its address, which engines reach without a certificate."""
    if shutil.which(PROGRAM) is None:
        pytest.skip("no registry: Debian's docker-registry is not installed")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": address},
        "log": {"level": "error"},
    }
    file = folder / "registry.yml"
    file.write_text(yaml.safe_dump(config))
    with (folder / "registry.log").open("wb") as words:
        process = subprocess.Popen([PROGRAM, "serve", file], stdout=words, stderr=words)
    try:
        wait_until(lambda: _answers(address), within=30)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def images_in(address: str) -> set[str]:
    """All images of a registry, with their tags."""
    names = httpx.get(f"http://{address}/v2/_catalog", timeout=10).json()["repositories"]
    found = set()
    for name in names:
        tags = httpx.get(f"http://{address}/v2/{name}/tags/list", timeout=10).json()["tags"]
        found |= {f"{name}:{tag}" for tag in tags or ()}
    return found
