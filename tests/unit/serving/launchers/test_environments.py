"""Which image a version gets."""

import dataclasses
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from serving.launchers import replica_image
from serving.launchers.environments import Environment, environment_of
from serving.records import Version
from tests.support.data_plane import version

BASE = "python:{python}-slim"


def of(**manifest: Any) -> Version:
    made = version(Path("model.joblib"), framework="sklearn")
    return dataclasses.replace(made, manifest=manifest)


def test_a_version_without_requirements_gets_the_releases_that_the_service_has() -> None:
    import sklearn

    made = environment_of(of(), BASE)
    assert f"scikit-learn=={sklearn.__version__}" in made.requirements
    assert made.base == f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def test_stated_requirements_are_taken_as_they_are_with_what_the_replica_itself_needs() -> None:
    made = environment_of(of(requirements=["scikit-learn==1.6.1"], python="3.12"), BASE)
    assert made.base == "python:3.12-slim"
    assert made.requirements == ("numpy", "scikit-learn==1.6.1")
    assert environment_of(of(requirements=["numpy>=1.26,<2"]), BASE).requirements == (
        "numpy>=1.26,<2",
    )


def test_the_order_of_requirements_makes_no_other_image() -> None:
    one = environment_of(of(requirements=["a==1", "numpy==2.0.0"]), BASE)
    two = environment_of(of(requirements=["numpy==2.0.0", "a==1"]), BASE)
    assert one.image == two.image
    assert one.image != environment_of(of(requirements=["a==2", "numpy==2.0.0"]), BASE).image
    assert one.image != environment_of(of(requirements=one.requirements), "b").image


def test_the_build_reads_the_replica_alone() -> None:
    with tarfile.open(fileobj=Environment("b", ("numpy",)).context()) as tar:
        names = tar.getnames()
        text = tar.extractfile("requirements.txt")
        assert text is not None
        assert text.read() == b"numpy\n"
    assert "Dockerfile" in names
    assert "serving/replica/main.py" in names
    assert not [one for one in names if one.startswith("serving/launchers")]


def test_the_image_that_is_built_for_a_cluster_is_the_one_that_a_pod_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = ["--requirement", "numpy==2.0.0", "--requirement", "a==1", "--python", "3.12.1"]
    assert replica_image.main(["--framework", "sklearn", *stated]) == 0
    name, base = capsys.readouterr().out.split()
    made = environment_of(of(requirements=["a==1", "numpy==2.0.0"], python="3.12.1"), BASE)
    assert (name, base) == (made.image, "python:3.12-slim")
    context = tmp_path / "context.tar"
    replica_image.main(["--framework", "sklearn", *stated, "--context", str(context)])
    assert context.read_bytes() == made.context().getvalue()
