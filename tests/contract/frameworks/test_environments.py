"""Environments as serving builds them, by the installer that the machine has."""

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.launchers.base import StartRefusedError
from serving.launchers.environment_store import MADE, EnvironmentStore, Plan, _find_uv
from serving.launchers.interpreters import find_interpreter
from serving.records import Version
from tests.support.data_plane import version

REQUIREMENTS = ["cloudpickle==3.1.1"]


@pytest.fixture(params=["pip", "uv"])
def installer(request: pytest.FixtureRequest) -> str:
    """Each of the two, where the machine has it."""
    return had(request.param)


def had(installer: str) -> str:
    """An installer; the test is skipped, and says so, where the machine has no uv."""
    if installer == "uv" and _find_uv() is None:
        pytest.skip("NO UV ON THIS MACHINE: environments that uv builds were not tested")
    return installer


def installed(python: Path) -> dict[str, str]:
    """Distributions of an environment and their releases; without pip's own."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return {name: release for name, release in found.items() if name not in ("pip", "setuptools")}


def wanted(number: int = 1, **manifest: object) -> Version:
    return dataclasses.replace(version(Path("model"), number=number), manifest=manifest)


@pytest.mark.frameworks
@pytest.mark.timeout(300)
def test_of_several_that_want_an_environment_one_builds_it_and_tells_how_far_it_is(
    installer: str, tmp_path: Path
) -> None:
    stores = [EnvironmentStore(tmp_path, installer=installer) for _ in range(2)]
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
    assert any(line and line.startswith(f"installing {REQUIREMENTS[0]}") for line in told)
    assert any(line and "another process" in line for line in told)
    code = "import cloudpickle, numpy, sys; print(cloudpickle.__version__, sys.prefix)"
    said = subprocess.run([first, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["3.1.1", str(first.parents[1])]
    assert stores[0].progress(versions[0]) is None


@pytest.mark.frameworks
@pytest.mark.timeout(300)
def test_what_a_killed_process_left_half_made_is_built_anew(tmp_path: Path) -> None:
    store, of = EnvironmentStore(tmp_path), wanted(requirements=REQUIREMENTS)
    half = store._folder / Plan(find_interpreter(None), (*REQUIREMENTS, "numpy")).digest
    (half / "bin").mkdir(parents=True)
    # It has no list of what it was made from.
    (half / "pyvenv.cfg").write_text("home = /nowhere\n")
    made = asyncio.run(store.python(of, None))
    assert made == half / "bin" / "python"
    assert json.loads((half / MADE).read_text())["requirements"] == [*REQUIREMENTS, "numpy"]
    assert installed(made)["cloudpickle"] == "3.1.1"


@pytest.mark.frameworks
@pytest.mark.timeout(300)
def test_uv_and_pip_make_the_same_environment_and_find_each_other_s(tmp_path: Path) -> None:
    of = wanted(requirements=REQUIREMENTS)
    made = {}
    for name in ("pip", "uv"):
        store = EnvironmentStore(tmp_path / name, installer=had(name))
        made[name] = asyncio.run(store.python(of, None))
    assert made["pip"] is not None
    assert made["uv"] is not None
    assert installed(made["pip"]) == installed(made["uv"])
    assert installed(made["uv"])["cloudpickle"] == "3.1.1"
    # The digest says nothing of who builds: what one has built the other takes.
    other = EnvironmentStore(tmp_path / "uv", installer="pip")
    begun = (made["uv"].parents[1] / MADE).stat().st_mtime_ns
    assert asyncio.run(other.python(of, None)) == made["uv"]
    assert (made["uv"].parents[1] / MADE).stat().st_mtime_ns == begun


@pytest.mark.frameworks
def test_a_failed_build_says_what_the_installer_said_and_leaves_nothing(
    installer: str, tmp_path: Path
) -> None:
    store = EnvironmentStore(tmp_path, installer=installer)
    of = wanted(requirements=["cloudpickle==0.0.1"])
    with pytest.raises(StartRefusedError, match=r"(?s)build of its environment.*cloudpickle==0\.0"):
        asyncio.run(store.python(of, None))
    assert not [one for one in tmp_path.iterdir() if one.is_dir()]
    assert store.progress(of) is None


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
