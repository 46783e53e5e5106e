"""Models that go wrong in every way: a named error, their own words, and nothing else touched."""

import io
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import joblib
import pytest

from tests.contract.launchers.launching import marked
from tests.support import images
from tests.support.serving import ServingProcess, artefact, reference, register, single

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

PATIENCE = 10
"""Seconds in which a version must come up."""
FILLER = "x" * 990


@dataclass(frozen=True)
class Fault:
    """A model that goes wrong."""

    what: str
    model: str | bytes
    """Python with `answer`, or the bytes of a joblib file."""
    code: str
    says: str
    """A part of the detail."""
    memory_mb: int | None = None
    mark: str = ""
    """Word on the command line of what it starts."""


def _of_another_kind() -> bytes:
    data = io.BytesIO()
    joblib.dump({"weights": [1, 2, 3]}, data)
    return data.getvalue()


UNUSABLE = "artefact_unusable"
"""Code of what is told where a version is registered: nothing of it starts."""
LEFT = f"mark-{uuid4()}"
AT_ONCE = [
    Fault("is cut short", artefact()[:200], UNUSABLE, "it was cut off"),
    Fault("is of another framework", _of_another_kind(), "version_failed_to_start", "predict"),
    Fault(
        "needs a library that is missing",
        "import no_such_library\ndef answer(rows): return rows[:, 0]",
        "version_failed_to_start",
        "needs the package no_such_library",
    ),
    Fault(
        "needs more memory than it may have",
        "hoard = [b'1' * 2**24 for _ in range(200)]\ndef answer(rows): return rows[:, 0]",
        "version_failed_to_start",
        "(It reached its memory limit of 512 MiB.)",
        memory_mb=512,
    ),
    Fault(
        "answers another number of rows",
        "import sys\nprint('loaded', file=sys.stderr)\ndef answer(rows): return [1, 2, 3, 4, 5]",
        "probe_failed",
        "gave 5 outputs for 1 rows",
    ),
    Fault(
        "answers what is no number",
        "import numpy\ndef answer(rows): return numpy.full(len(rows), float('nan'))",
        "probe_failed",
        "NaN or infinite",
    ),
    Fault(
        "ends on a row",
        "import os, sys\n"
        "def answer(rows):\n    print('out of luck', file=sys.stderr, flush=True)\n    os._exit(3)",
        "probe_failed",
        "out of luck",
    ),
    Fault(
        "leaves processes of its own behind",
        "import subprocess, sys\n"
        f"wait = [sys.executable, '-c', 'import time; time.sleep(600)', '{LEFT}']\n"
        "for apart in (True, False):\n    subprocess.Popen(wait, start_new_session=apart)\n"
        "raise RuntimeError('no licence')",
        "version_failed_to_start",
        "RuntimeError: no licence",
        mark=LEFT,
    ),
    Fault(
        "starts processes without end",
        "import os, time\nfor _ in range(11):\n    os.fork()\ntime.sleep(600)",
        "version_failed_to_start",
        "(It started too many processes: with their threads it may have 128.)",
        mark="bad8.py",
    ),
]
AFTER_A_WHILE = [
    Fault(
        "never becomes ready",
        "import sys, time\nprint('still loading', file=sys.stderr, flush=True)\ntime.sleep(600)",
        "version_failed_to_start",
        f"not ready within {PATIENCE} s. Its last words:\nstill loading",
    ),
    Fault(
        "prints for ever",
        f"import sys\nwhile True:\n    sys.stderr.write('{FILLER}the end\\n')",
        "version_failed_to_start",
        "the end",
    ),
    Fault(
        "sleeps for a minute",
        "import sys, time\ndef answer(rows):\n"
        "    print('asleep', file=sys.stderr, flush=True)\n    time.sleep(60)",
        "probe_failed",
        "asleep",
    ),
]


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.containers)])
def serving(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[Any]:
    if request.param == "docker":
        images.base_image()
    process = ServingProcess(
        database, tmp_path, SERVING_LAUNCHER=request.param, SERVING_DEPLOY_TIMEOUT=str(PATIENCE),
        SERVING_REPLICA_PROCESSES="128",
    )  # fmt: skip
    process.start()
    try:
        yield process
    finally:
        process.stop()
        process.client.close()


def routed(serving: ServingProcess, application: str, ref: str) -> Any:
    return serving.client.put(f"/v1/applications/{application}/route", json=single(ref))


def made(serving: ServingProcess, application: str) -> None:
    stated = {"name": application, "task": "regression", "latency_objective_ms": 5000}
    assert serving.client.post("/v1/applications", json=stated).status_code == 201


@contextmanager
def asked_throughout(serving: ServingProcess, application: str) -> Iterator[list[dict[str, Any]]]:
    """Predictions of an application, one after the other, and what came back."""
    answers: list[dict[str, Any]] = []
    done = threading.Event()

    def ask() -> None:
        path = f"/v1/applications/{application}/predictions"
        body = {"input": {"a": 2, "b": 0, "c": 0}}
        while not done.wait(0.05):
            answers.append(serving.client.post(path, json=body).json())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        done.set()
        asking.join()


def test_each_ends_in_a_named_error_with_its_last_words_and_touches_nothing_else(
    serving: ServingProcess, tmp_path: Path
) -> None:
    client = serving.client
    # A small one: it must come up in time on a machine that is loaded.
    source = b"def answer(rows):\n    return [1.0] * len(rows)\n"
    steady = register(
        client, "steady", source, framework="python", entry="steady:answer", reference=reference()
    )
    assert steady.status_code == 201
    made(serving, "steady")
    assert routed(serving, "steady", "m:steady").status_code == 200

    def deployed(number: int, fault: Fault) -> None:
        version, name = f"bad{number}", f"app{number}"
        if isinstance(fault.model, bytes):
            registered = register(client, version, fault.model)
        else:
            file = tmp_path / f"{version}.py"
            file.write_text(textwrap.dedent(fault.model))
            stated = {"version": version, "framework": "python", "entry": "model:answer"}
            registered = client.post("/v1/models/m/versions", json={**stated, "uri": str(file)})
        if fault.code == UNUSABLE:
            assert registered.status_code == 422, f"{fault.what}: {registered.text}"
            assert registered.json()["code"] == fault.code, fault.what
            assert fault.says in registered.json()["detail"], fault.what
            return
        assert registered.status_code == 201, registered.text
        rows = f"/v1/models/m/versions/{version}"
        assert client.put(f"{rows}/reference", json=reference()).status_code in (200, 204)
        if fault.memory_mb is not None:
            plan = {"count": 1, "memory_mb": fault.memory_mb}
            assert client.put(f"{rows}/replicas", json=plan).status_code == 200
        made(serving, name)
        answer = routed(serving, name, f"m:{version}")
        assert answer.status_code == 422, f"{fault.what}: {answer.text}"
        problem = answer.json()
        assert problem["code"] == fault.code, f"{fault.what}: {problem}"
        assert f"m:{version}" in problem["detail"], f"{fault.what}: {problem}"
        assert fault.says in problem["detail"], f"{fault.what}: {problem}"
        assert client.get(f"/v1/applications/{name}/route").status_code == 404, fault.what
        if fault.mark:
            assert marked(fault.mark) == [], fault.what

    with asked_throughout(serving, "steady") as answers:
        for number, fault in enumerate(AT_ONCE):
            deployed(number, fault)
        with ThreadPoolExecutor(len(AFTER_A_WHILE)) as pool:
            numbers = range(len(AT_ONCE), len(AT_ONCE) + len(AFTER_A_WHILE))
            list(pool.map(deployed, numbers, AFTER_A_WHILE))
    assert len(answers) > 20
    assert all(one["output"] == 1 and not one["default"] for one in answers)
