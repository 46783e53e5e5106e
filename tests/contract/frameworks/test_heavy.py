"""Frameworks of hundreds of megabytes, each in an environment of its own that serving builds.

`make test-frameworks`. The environments are kept in `.environments` of the checkout, or where
`LEADSMAN_TEST_ENVIRONMENTS` says.
"""

import asyncio
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.launchers.environment_store import EnvironmentStore
from tests.contract.frameworks.served import (
    ROOT,
    Example,
    check,
    deploy,
    one,
    raise_objective,
    run,
    train,
    trained,
)
from tests.support.data_plane import version
from tests.support.serving import ServingProcess

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(900)]

FOLDER = Path(os.environ.get("LEADSMAN_TEST_ENVIRONMENTS", ROOT / ".environments"))
TENSORFLOW = ("tensorflow-cpu==2.21.0",)
PYTORCH = ("torch==2.13.0",)
SPARK = ("pyspark==4.3.0",)
OLD_SKLEARN = ("scikit-learn==1.7.2",)
CLASSES = ("--classes", "no,yes")
NAMES = frozenset({"no", "yes"})

EXAMPLES = [
    (Example("tensorflow_savedmodel", "tensorflow", NAMES, options=CLASSES), TENSORFLOW),
    (Example("tensorflow_keras", "tensorflow", None, scores=None), TENSORFLOW),
    (Example("pytorch_exported", "pytorch", NAMES, options=CLASSES), PYTORCH),
    (Example("pytorch_torchscript", "pytorch", None, scores=None), PYTORCH),
    (Example("spark_pipeline", "spark", NAMES), SPARK),
]


@pytest.fixture(scope="module")
def serving(
    module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServingProcess]:
    """A process that shares the environments with the tests; these build first, with progress."""
    process = ServingProcess(
        module_database, tmp_path_factory.mktemp("heavy"),
        SERVING_DEPLOY_TIMEOUT="400", SERVING_ENVIRONMENT_DIR=str(FOLDER),
        # What answered the reference rows is still there when the route wants it.
        SERVING_RETIRE_AFTER="60",
    )  # fmt: skip
    process.client.timeout = 400
    process.start()
    yield process
    process.stop()
    process.client.close()


def environment(requirements: tuple[str, ...]) -> Path:
    """The interpreter of an environment, built as serving builds it."""
    # Of torch pip finds a build without CUDA where the machine has one; uv fetches gigabytes.
    installer = "pip" if requirements == PYTORCH else None
    wanted = dataclasses.replace(
        version(Path("model")), manifest={"requirements": list(requirements)}
    )
    found = asyncio.run(EnvironmentStore(FOLDER, installer=installer).python(wanted, None))
    assert found is not None
    return found


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case[0].script)
def test_a_model_in_an_environment_of_its_own_is_served_and_served_again(
    case: tuple[Example, tuple[str, ...]],
    serving: ServingProcess,
    reference: Path,
    rows: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    example, requirements = case
    made = trained(example, tmp_path, rows, str(environment(requirements)))
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(requirements))
    deploy(serving, example, made.artefact, reference, "--requirements", str(file))
    raise_objective(serving, example)
    kept = serving.client.get(f"/v1/models/{example.name}/versions/1").json()
    assert kept["framework"] == example.framework
    check(serving, example, rows, made)


def test_the_stages_of_a_pipeline_are_computed_as_spark_computes_them(tmp_path: Path) -> None:
    program = Path(__file__).with_name("spark_stages.py")
    run([str(environment(SPARK)), str(program), str(tmp_path)], PYTHONPATH=str(ROOT))


def test_versions_with_different_releases_of_scikit_learn_serve_side_by_side(
    serving: ServingProcess, reference: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    import sklearn

    example = Example("scikit_learn", "sklearn")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    python = str(environment((*OLD_SKLEARN, "joblib")))
    first = train(example, old, python)
    # In the service's own environment it is refused, in one sentence with both releases.
    with pytest.raises(AssertionError) as caught:
        deploy(serving, example, first, reference)
    assert "made with scikit-learn 1.7.2" in str(caught.value)
    assert f"this environment has scikit-learn {sklearn.__version__}" in str(caught.value)

    older = dataclasses.replace(example, script="scikit_learn_old")
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join((*OLD_SKLEARN, "joblib")))
    deploy(serving, older, first, reference, "--requirements", str(file))
    second = train(example, new)
    deploy(serving, example, second, reference, "--version", "2")
    for application in (older, example):
        raise_objective(serving, application)
        assert not one(serving, application, rows[0])["default"]


def test_an_environment_that_cannot_be_built_says_what_the_installer_said(
    serving: ServingProcess, tmp_path: Path
) -> None:
    example = Example("python_function", "python")
    source = tmp_path / "m.py"
    source.write_text("def answer(rows):\n    return [1.0] * len(rows)\n")
    manifest = {
        "version": "1", "entry": "m:answer", "uri": str(source),
        "requirements": ["no-such-distribution-of-leadsman==1"],
    }  # fmt: skip
    made = serving.client.post(f"/v1/models/{example.name}/versions", json=manifest)
    assert made.status_code == 201, made.text
    application = {
        "name": example.name, "task": "regression", "default_output": 0,
        "latency_objective_ms": 1000,
        "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
    }  # fmt: skip
    assert serving.client.post("/v1/applications", json=application).status_code == 201
    refused = serving.client.put(
        f"/v1/applications/{example.name}/route",
        json={"policy": {"kind": "single", "champion": f"{example.name}:1"}},
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "version_failed_to_start")
    assert "the build of its environment" in refused.json()["detail"]
    assert "no-such-distribution-of-leadsman" in refused.json()["detail"]
