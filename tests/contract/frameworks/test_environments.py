"""Environments as serving builds them, by the installer that the machine has."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.launchers.base import StartRefusedError
from serving.launchers.environment_store import MADE, EnvironmentStore
from serving.launchers.interpreters import find_interpreter
from serving.records import Version
from tests.support.data_plane import version

REQUIREMENTS = ["cloudpickle==3.1.1"]


def wanted(number: int = 1, **manifest: object) -> Version:
    return dataclasses.replace(version(Path("model"), number=number), manifest=manifest)


@pytest.mark.frameworks
@pytest.mark.timeout(300)
def test_of_several_that_want_an_environment_one_builds_it_and_tells_how_far_it_is(
    tmp_path: Path,
) -> None:
    stores = [EnvironmentStore(tmp_path, installer="pip") for _ in range(2)]
    versions = [wanted(number, requirements=REQUIREMENTS) for number in (1, 2)]
    told: set[str | None] = set()

    async def run() -> list[Path | None]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(store.python(one, None))
                for store, one in zip(stores, versions, strict=True)
            ]
            while not all(task.done() for task in tasks):
                told.update(s.progress(v) for s, v in zip(stores, versions, strict=True))
                await asyncio.sleep(0.05)
        return [task.result() for task in tasks]

    first, second = asyncio.run(run())
    assert first == second
    assert first is not None
    assert any(line and line.startswith(("Collecting", "Downloading")) for line in told)
    assert any(line and "another process" in line for line in told)
    code = "import cloudpickle, numpy, sys; print(cloudpickle.__version__, sys.prefix)"
    said = subprocess.run([first, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["3.1.1", str(first.parents[1])]
    assert stores[0].progress(versions[0]) is None

    # What a killed process left half made has no list of what it was made from: it is built anew.
    (first.parents[1] / MADE).unlink()
    (first.parents[1] / "bin" / "python").unlink()
    assert asyncio.run(stores[0].python(versions[0], None)) == first
    assert json.loads((first.parents[1] / MADE).read_text())["requirements"] == [
        *REQUIREMENTS, "numpy",
    ]  # fmt: skip


def test_a_version_that_states_nothing_runs_in_the_usual_environment(tmp_path: Path) -> None:
    store, usual = EnvironmentStore(tmp_path / "none"), Path("/usual/python")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for one in (wanted(), wanted(python=own), wanted(requirements=[])):
        assert asyncio.run(store.python(one, usual)) == usual
    other = wanted(python="/opt/other/python")
    assert asyncio.run(store.python(other, usual)) == Path("/opt/other/python")
    assert not (tmp_path / "none").exists()


def test_a_python_that_the_machine_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(StartRefusedError, match=r"expected Python 3\.99, found none that starts"):
        find_interpreter("3.99")


def test_an_interpreter_is_found_by_its_path_and_its_release() -> None:
    found = find_interpreter(sys.executable)
    assert found.is_own
    assert find_interpreter(None).release == found.release
