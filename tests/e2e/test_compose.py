"""`docker compose up` as a person runs it, with images made on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from leadsman.demo.run import settings
from tests.support.images import ROOT, docker, our_image, postgres_image
from tests.support.service import environment, free_ports

COMPOSE = Path(sys.executable).with_name("docker-compose")
FILE = ROOT / "docker-compose.yml"
OURS = ("migrations", "serving", "monitor", "demo")
VERSION = "0.0.test"
LARGEST = 620e6
"""Bytes of our image: 127 million of them the base, the rest scipy, Arrow, numpy and the like."""


@dataclass(frozen=True)
class Project:
    """One set of containers, networks and volumes."""

    name: str
    secrets: Path
    variables: Mapping[str, str]

    def run(self, *words: str, env_files: tuple[Path, ...] = (), fails: bool = False) -> str:
        """Run docker compose; return what it printed."""
        files = [f"--env-file={file}" for file in (self.secrets, *env_files)]
        done = subprocess.run(
            [COMPOSE, "-f", FILE, "-p", self.name, *files, *words],
            env=environment(self.variables), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout if not fails else done.stderr

    def container(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        found: dict[str, Any] = json.loads(docker("inspect", f"{self.name}-{service}-1"))[0]
        return found

    def secret(self, name: str) -> str:
        """A value of the file of secrets."""
        lines = dict(line.split("=", 1) for line in self.secrets.read_text().splitlines())
        return lines[name]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    made = subprocess.run([ROOT / "deploy/make-env"], capture_output=True, text=True, check=True)
    file = tmp_path / "secrets.env"
    file.write_text(made.stdout)
    return file


@pytest.fixture
def described(secrets: Path) -> dict[str, Any]:
    """The file as docker compose understands it."""
    text = Project("described", secrets, {}).run("--profile", "demo", "config")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_file_is_understood_and_opens_ports_on_loopback_only(described: dict[str, Any]) -> None:
    ports = [port for one in described["services"].values() for port in one.get("ports", [])]
    assert len(ports) == 6
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_nothing_secret_is_in_the_file_and_nothing_starts_without_secrets(tmp_path: Path) -> None:
    nothing = tmp_path / "empty.env"
    nothing.touch()
    told = Project("described", nothing, {}).run("config", fails=True)
    assert "make it with deploy/make-env > .env" in told
    text = FILE.read_text()
    for name in ("POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "LEADSMAN_API_KEY"):
        assert f"${{{name}:-" not in text


def test_our_services_may_do_nothing_that_they_need_not(described: dict[str, Any]) -> None:
    for name in OURS:
        service = described["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_what_goes_on_is_watched_and_what_is_kept_has_a_volume(described: dict[str, Any]) -> None:
    services = described["services"]
    for name in services.keys() - {"migrations", "demo"}:
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name
    assert described["volumes"].keys() == {
        "postgres", "serving", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip


def test_every_file_that_is_mounted_is_there(described: dict[str, Any]) -> None:
    mounted = [
        Path(one["source"])
        for service in described["services"].values()
        for one in service.get("volumes", [])
        if one["type"] == "bind"
    ]
    assert mounted
    assert not [str(path) for path in mounted if not path.exists()]


def test_the_demo_s_variables_are_those_of_the_demo(described: dict[str, Any]) -> None:
    lines = (ROOT / "deploy/demo.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    monitor = described["services"]["monitor"]["environment"]
    assert given.keys() <= monitor.keys()
    wanted = settings(speed=170.0)
    assert float(given.pop("MONITOR_TIME_SCALE")) == float(wanted["MONITOR_TIME_SCALE"])
    given.pop("MONITOR_WEBHOOK_ALLOW_PRIVATE")
    assert given.items() <= wanted.items()


def test_the_image_s_environment_is_the_one_that_is_tested() -> None:
    tested = set((ROOT / "requirements.lock").read_text().splitlines())
    for name in ("requirements.lock", "requirements-kubernetes.lock"):
        lines = (ROOT / "deploy" / name).read_text().splitlines()
        assert [line for line in lines if "==" in line and line not in tested] == []


@pytest.fixture
def project(secrets: Path, tmp_path: Path) -> Iterator[Project]:
    """The project with images of this checkout; nothing of it is left afterwards."""
    our_image(VERSION)
    folder = tmp_path / "postgres"
    folder.mkdir()
    ports = dict(zip(("POSTGRES", "SERVING", "MONITOR"), map(str, free_ports(3)), strict=True))
    variables = {f"{name}_PORT": port for name, port in ports.items()} | {
        "LEADSMAN_VERSION": VERSION,
        "POSTGRES_IMAGE": postgres_image(folder),
        "PATH": os.environ["PATH"],
    }
    made = Project(f"leadsman-{uuid4().hex[:8]}", secrets, variables)
    try:
        yield made
    finally:
        made.run("--profile", "demo", "down", "--volumes", "--timeout", "20")
        docker("image", "rm", "--no-prune", f"leadsman:{VERSION}")


@pytest.mark.containers
@pytest.mark.timeout(900)
def test_the_containers_serve_roll_back_a_bad_release_and_keep_what_they_know(
    project: Project,
) -> None:
    demo_env = ROOT / "deploy/demo.env"
    image = f"leadsman:{VERSION}"
    assert int(docker("image", "inspect", "-f", "{{.Size}}", image)) < LARGEST
    # What `leadsman replay` reads files with is still there.
    code = "import pyarrow.compute, pyarrow.csv, pyarrow.parquet"
    docker("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", code)

    def up() -> None:
        project.run(
            "up", "--detach", "--no-build", "--pull", "never", "--wait", "--wait-timeout", "240",
            "serving", "monitor", env_files=(demo_env,),
        )  # fmt: skip

    up()
    for service in ("serving", "monitor"):
        found = project.container(service)
        assert found["Config"]["User"] == "65534:65534"
        assert found["Config"]["Labels"]["org.opencontainers.image.version"] == VERSION
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["State"]["Health"]["Status"] == "healthy"

    told = project.run(
        "--profile", "demo", "run", "--rm", "--no-deps", "-T", "--name", f"{project.name}-demo",
        "demo", "demo", "--elsewhere", "--exit", "--trainer-host", f"{project.name}-demo",
        "--data-dir", "/tmp/demo", "--until", "10100", env_files=(demo_env,),
    )  # fmt: skip
    assert "2100 answers sent, 2100 recorded, 0 lost" in " ".join(told.split())

    route = (
        f"http://127.0.0.1:{project.variables['SERVING_PORT']}/v1/applications/electricity/route"
    )
    headers = {"Authorization": f"Bearer {project.secret('LEADSMAN_API_KEY')}"}
    before = httpx.get(route, headers=headers, timeout=10).json()
    assert before["policy"]["champion"] == "market:v1"
    project.run("down", "--timeout", "20")
    up()
    after = httpx.get(route, headers=headers, timeout=10).json()
    # Another container answers, by the same route.
    assert [one["revision"] for one in after.pop("processes")] == [before["revision"]]
    del before["processes"]
    assert after == before
