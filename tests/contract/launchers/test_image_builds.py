"""Images that take longer to build than a start may: built once, waited for, told."""

import asyncio
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from serving.errors import VersionFailedToStartError
from serving.launchers.docker import DockerLauncher
from serving.launchers.options import DockerOptions
from serving.replicas import Replicas
from tests.contract.launchers import models
from tests.support.data_plane import START_WITHIN, python_version
from tests.support.images import docker, is_there
from tests.support.serving import ServingProcess, register, single

pytestmark = pytest.mark.containers

BUILD = 10
"""Seconds that a build on the slow base lasts at least."""


@pytest.fixture(scope="module")
def slow_base(base_image: str) -> Iterator[str]:
    """A base image on which every build takes its time; what was built on it goes as well."""
    tag = f"leadsman-test-slow:{uuid4().hex[:12]}"
    # The packages come with it, from a step that the engine keeps between runs.
    text = (
        f"FROM {base_image}\nRUN python -m pip install --no-cache-dir -q numpy\n"
        f"LABEL leadsman-test={tag}\nONBUILD RUN sleep {BUILD}\n"
    )
    subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=text.encode(), check=True)
    yield tag
    for image in docker("images", "-q", "--filter", f"label=leadsman-test={tag}").split():
        docker("image", "rm", "--force", image)


def test_a_build_goes_on_where_nobody_waits_and_is_found_by_who_asks_again(
    slow_base: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving.launchers")
    launcher = DockerLauncher(tmp_path / "replicas", DockerOptions(base_image=slow_base))
    of = python_version(tmp_path, models.SUMS)
    replicas = Replicas(
        launcher, python=None, start_within=START_WITHIN, build_within=START_WITHIN / 15,
        drain_within=START_WITHIN,
    )  # fmt: skip
    image = launcher._environment(of).image

    async def run() -> None:
        # Nothing is told before it begins.
        assert replicas.progress(of) is None
        with pytest.raises(VersionFailedToStartError) as caught:
            await replicas.prepare([of])
        assert "its environment was not built within 2 s, and was at: Step" in caught.value.detail
        assert "ask again" in caught.value.detail
        assert not is_there(image)
        # The rest of the same build.
        await launcher.prepare(of, None)
        assert is_there(image)
        assert replicas.progress(of) is None

    asyncio.run(run())
    assert caplog.text.count("image_build_started") == 1


@pytest.fixture
def pair(database: str, tmp_path: Path, slow_base: str) -> Iterator[list[ServingProcess]]:
    """Two serving processes that give a version less time than its build takes."""
    made = [
        ServingProcess(
            database, tmp_path / name, SERVING_LAUNCHER="docker", SERVING_DEPLOY_TIMEOUT="8",
            SERVING_DOCKER_BASE_IMAGE=slow_base, SERVING_ARTEFACT_DIR=str(tmp_path / "artefacts"),
        )
        for name in ("one", "two")
    ]  # fmt: skip
    with ExitStack() as stack:
        for process in made:
            process.start()
            stack.callback(process.client.close)
            stack.callback(process.stop)
        yield made


def test_a_build_longer_than_a_start_may_take_is_done_once_for_all_processes_and_told(
    pair: list[ServingProcess],
) -> None:
    client = pair[0].client
    manifest: dict[str, Any] = {"entry": "m:answer", "requirements": ["numpy"]}
    source = b"def answer(rows):\n    return rows[:, 0]\n"
    assert register(client, "1", source, framework="python", **manifest).status_code == 201
    stated = {
        "task": "regression", "latency_objective_ms": 5000,
        "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
    }  # fmt: skip
    for name in ("first", "second"):
        made = client.post("/v1/applications", json={"name": name, **stated})
        assert made.status_code == 201, made.text
    told: set[str | None] = set()
    done = threading.Event()

    def follow() -> None:
        with pair[0].with_key(client.headers["Authorization"].split()[1]) as mine:
            while not done.wait(0.2):
                told.add(mine.get("/v1/models/m/versions/1").json()["progress"])

    following = threading.Thread(target=follow)
    following.start()
    answers: dict[str, int] = {}

    def change(process: ServingProcess, name: str) -> None:
        response = process.client.put(f"/v1/applications/{name}/route", json=single("m:1"))
        answers[name] = response.status_code

    changes = [
        threading.Thread(target=change, args=(process, name))
        for process, name in zip(pair, ("first", "second"), strict=True)
    ]
    for one in changes:
        one.start()
    for one in changes:
        one.join()
    done.set()
    following.join()
    assert answers == {"first": 200, "second": 200}
    assert sum(process.log().count("image_build_started") for process in pair) == 1
    assert any(line and ("Step" in line or "another process" in line) for line in told)
