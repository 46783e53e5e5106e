"""One service for the models of all frameworks, and what is asked of each."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.support.serving import ADMIN_KEY, ServingProcess

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "frameworks"
BATCH = 512
PATIENCE = 180.0
"""Seconds in which a killed replica must be there again, on a machine that is loaded."""


@dataclass(frozen=True)
class Example:
    """One of the examples, and what is known of its answers."""

    script: str
    framework: str
    outputs: frozenset[Any] | None = frozenset({0, 1})
    """What it may answer; none for numbers."""
    scores: int | None = 2
    """Scores that come with an answer."""
    options: tuple[str, ...] = ()
    """Words of `leadsman deploy` beyond the usual."""
    tells_inputs: bool = False
    """Whether the artefact tells its inputs, so that no reference rows are needed."""

    @property
    def name(self) -> str:
        """Of its application and model."""
        return self.script.replace("_", "-")


@dataclass(frozen=True)
class Trained:
    """An artefact, and what its own library answers to some rows."""

    artefact: Path
    scores: list[list[float]] | None
    outputs: list[Any] | None


def trained(
    example: Example, folder: Path, rows: list[dict[str, Any]], python: str = sys.executable
) -> Trained:
    """Run an example as a person does, and ask its library."""
    file = folder / "rows.json"
    file.write_text(json.dumps(rows))
    program = Path(__file__).with_name("by_the_library.py")
    script = EXAMPLES / f"{example.script}.py"
    done = run([python, str(program), str(script), str(folder), str(file)])
    *_, artefact, told = done.stdout.strip().splitlines()
    return Trained(Path(artefact), **json.loads(told))


def train(example: Example, folder: Path, python: str = sys.executable) -> Path:
    """Run an example as a person does; give the path that it prints."""
    done = run([python, str(EXAMPLES / f"{example.script}.py"), str(folder)])
    return Path(done.stdout.strip().splitlines()[-1])


def run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def deploy(
    serving: ServingProcess, example: Example, artefact: Path, reference: Path | None, *more: str
) -> dict[str, Any]:
    """`leadsman deploy` of an artefact, of which nothing is said but what it cannot tell."""
    words = [sys.executable, "-m", "leadsman", "deploy", example.name, str(artefact)]
    words += ["--model", example.name, *example.options, *more, "--json"]
    if "--version" not in more:
        words += ["--version", "1"]
    if reference is not None:
        words += ["--reference", str(reference), "--label", "fraud"]
    url = str(serving.client.base_url)
    done = run(words, LEADSMAN_URL=url, LEADSMAN_API_KEY=ADMIN_KEY)
    deployed: dict[str, Any] = json.loads(done.stdout)
    return deployed


def check(
    serving: ServingProcess, example: Example, rows: list[dict[str, Any]], by_library: Trained
) -> None:
    """One answer, a batch as the library answers it, and one after the replica was killed."""
    first = one(serving, example, rows[0])
    assert_form(first, example)
    url = f"/v1/applications/{example.name}/predictions"
    many = serving.client.post(url, json={"inputs": rows[:BATCH]}).json()["predictions"]
    assert len(many) == BATCH
    for answer in many:
        assert_form(answer, example)
    if by_library.scores is not None:
        found = np.array([answer["scores"] for answer in many])
        np.testing.assert_allclose(found, by_library.scores, rtol=1e-4, atol=1e-6)
    if by_library.outputs is not None:
        outputs = [answer["output"] for answer in many]
        assert outputs == [alike(output) for output in by_library.outputs]
    # Sums of a batch are taken in another order: of 32-bit floats the last digits differ.
    assert many[0]["output"] == alike(first["output"])
    if example.outputs is not None:
        assert len({answer["output"] for answer in many}) == len(example.outputs), "a constant"
    # Names decide where a value goes, not places.
    turned = dict(reversed(rows[0].items()))
    assert one(serving, example, turned)["output"] == first["output"]
    kill_replica(serving, example)
    again = until_answered(serving, example, rows[0])
    assert (again["output"], again.get("scores")) == (first["output"], first.get("scores"))


def alike(output: Any) -> Any:
    """An output, or nearly, where it is a number with a fraction."""
    return pytest.approx(output, rel=1e-5) if isinstance(output, float) else output


def one(serving: ServingProcess, example: Example, row: dict[str, Any]) -> dict[str, Any]:
    """The answer to one row."""
    url = f"/v1/applications/{example.name}/predictions"
    response = serving.client.post(url, json={"input": row})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def until_answered(
    serving: ServingProcess, example: Example, row: dict[str, Any]
) -> dict[str, Any]:
    """The first answer that the version itself gives."""
    until = time.monotonic() + PATIENCE
    while (answer := one(serving, example, row))["default"]:
        assert time.monotonic() < until, serving.log()[-2000:]
        time.sleep(0.1)
    return answer


def assert_form(answer: dict[str, Any], example: Example) -> None:
    """The one shape of classes and scores."""
    assert not answer["default"], answer
    if example.outputs is None:
        assert isinstance(answer["output"], float)
    else:
        assert answer["output"] in example.outputs, answer
    if example.scores is None:
        assert answer.get("scores") is None
    else:
        assert len(answer["scores"]) == example.scores
        assert abs(sum(answer["scores"]) - 1) < 1e-5


def kill_replica(serving: ServingProcess, example: Example) -> None:
    """Kill the process that holds the example's model."""
    manifest = serving.client.get(f"/v1/models/{example.name}/versions/1").json()
    for child in psutil.Process(serving.pid).children():
        if any(manifest["digest"] in word for word in child.cmdline()):
            child.kill()
            return
    raise AssertionError(f"no replica of {example.name}")


def raise_objective(serving: ServingProcess, example: Example) -> None:
    """Let a slow machine take its time: here answers count, not their latency."""
    url = f"/v1/applications/{example.name}"
    response = serving.client.patch(url, json={"latency_objective_ms": 30_000})
    assert response.status_code == 200, response.text
