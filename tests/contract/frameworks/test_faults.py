"""Artefacts and models that are wrong: each is told at the right place, and nothing else moves."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import joblib
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.contract.frameworks.conftest import payments
from tests.support.serving import ServingProcess, single

pytestmark = pytest.mark.timeout(300)

SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "number"} for name in payments.FEATURES},
    "required": list(payments.FEATURES),
}
URL = "/v1/applications/steady"
ROW = {"amount": 1.0, "age": 2.0, "hour": 3.0}


class Desk:
    """An application with a steady version, beside which others are tried."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self._count = 0

    def register(self, data: bytes, **manifest: Any) -> httpx.Response:
        """Upload an artefact as a new version."""
        self._count += 1
        stated = {"version": f"f{self._count}", **manifest}
        return self.client.post(
            "/v1/models/faulty/versions",
            data={"manifest": json.dumps(stated)},
            files={"artefact": ("model", data)},
        )

    def route(self, version: str) -> httpx.Response:
        """Let it answer."""
        return self.client.put(f"{URL}/route", json=single(f"faulty:{version}"))

    def tried(self, data: bytes, **manifest: Any) -> dict[str, Any]:
        """Register and route; the problem that the route's change ends with."""
        registered = self.register(data, **manifest)
        assert registered.status_code == 201, registered.text
        response = self.route(f"f{self._count}")
        assert response.status_code == 422, response.text
        problem: dict[str, Any] = response.json()
        return problem

    def predict(self, count: int = 1) -> list[dict[str, Any]]:
        """Ask for some rows."""
        body = {"inputs": [ROW] * count}
        response = self.client.post(f"{URL}/predictions", json=body)
        answers: list[dict[str, Any]] = response.json()["predictions"]
        return answers


@pytest.fixture(scope="module")
def desk(serving: ServingProcess) -> Desk:
    """The steady version answers 7."""
    made = Desk(serving.client)
    application = {
        "name": "steady", "task": "regression", "input_schema": SCHEMA, "default_output": -1,
        "latency_objective_ms": 30_000,
    }  # fmt: skip
    assert serving.client.post("/v1/applications", json=application).status_code == 201
    source = b"def answer(rows):\n    return [7.0] * len(rows)\n"
    assert made.register(source, entry="steady:answer").status_code == 201
    assert made.route("f1").status_code == 200
    return made


@pytest.fixture(autouse=True)
def nothing_else_is_touched(desk: Desk) -> Any:
    """After each fault the steady version answers as before."""
    yield
    back = desk.client.get(f"{URL}/route").json()
    if back["policy"]["champion"] != "faulty:f1":
        assert desk.route("f1").status_code == 200
    assert [one["output"] for one in desk.predict(2)] == [7.0, 7.0]


def estimator() -> bytes:
    """A joblib file."""
    import io

    rows, labels = payments.payments(200)
    data = io.BytesIO()
    joblib.dump(LogisticRegression(max_iter=1000).fit(rows, labels), data)
    return data.getvalue()


def test_a_truncated_artefact_is_refused_at_registration(desk: Desk) -> None:
    data = estimator()
    refused = desk.register(data[: len(data) // 2])
    assert refused.status_code == 422
    assert refused.json()["code"] == "artefact_unusable"
    assert "The pickle is not whole" in refused.json()["detail"]


def test_an_artefact_of_another_framework_is_refused_at_registration(desk: Desk) -> None:
    refused = desk.register(estimator(), framework="xgboost")
    assert (refused.status_code, refused.json()["code"]) == (422, "artefact_unusable")
    assert refused.json()["detail"] == (
        "Expected an artefact of xgboost, found a pickle, which is of sklearn."
    )
    refused = desk.register(b"\x01\x02\x03 nothing that is known")
    assert "does not say what it is" in refused.json()["detail"]


def test_another_release_is_told_with_both_before_traffic_moves(desk: Desk) -> None:
    import sklearn

    wrote = sklearn.__version__.encode()
    other = b"0" + wrote[1:]
    problem = desk.tried(estimator().replace(wrote, other))
    assert problem["code"] == "version_failed_to_start"
    (sentence,) = [line for line in problem["detail"].splitlines() if "made with" in line]
    assert f"made with scikit-learn {other.decode()}" in sentence
    assert f"this environment has scikit-learn {wrote.decode()}" in sentence


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("import no_such_library\n", "version_failed_to_start", "no_such_library"),
        ("raise RuntimeError('no licence')\n", "version_failed_to_start", "no licence"),
        (
            "def answer(rows):\n    return [1.0] * (len(rows) + 1)\n",
            "probe_failed",
            "2 outputs for 1 rows",
        ),
        ("def answer(rows):\n    return rows[:, 0] * float('nan')\n", "probe_failed", "NaN"),
        ("def answer(rows):\n    return [object()] * len(rows)\n", "probe_failed", "object"),
        ("answer = 3\n", "version_failed_to_start", "no callable"),
    ],
    ids=["missing library", "raises", "wrong number of rows", "NaN", "no JSON", "not callable"],
)
def test_a_faulty_model_is_told_at_the_change_of_the_route(
    desk: Desk, source: str, code: str, words: str
) -> None:
    rows = [ROW] * 2
    manifest = {"entry": "faulty:answer", "framework": "python", "reference": {"rows": rows}}
    problem = desk.tried(b"# a model\n" + source.encode(), **manifest)
    assert problem["code"] == code
    assert words in problem["detail"], problem["detail"]


def test_rows_that_a_model_fails_get_an_error_each_and_the_others_their_answers(
    desk: Desk,
) -> None:
    source = b"def answer(rows):\n    return 1.0 / (rows[:, 0] != 13)\n"
    assert desk.register(source, entry="m:answer").status_code == 201
    assert desk.route(f"f{desk._count}").status_code == 200
    url = f"{URL}/predictions"
    unlucky = {**ROW, "amount": 13.0}
    answers = desk.client.post(url, json={"inputs": [ROW, unlucky, ROW]}).json()["predictions"]
    assert [one.get("output") for one in answers][::2] == [1.0, 1.0]
    assert answers[1].get("default") or "error" in answers[1]


def test_an_artefact_changed_on_disk_is_not_loaded(desk: Desk, serving: ServingProcess) -> None:
    source = b"def answer(rows):\n    return [1.0] * len(rows)\n"
    registered = desk.register(source, entry="m:answer").json()
    (stored,) = list_artefacts(serving, registered["digest"])
    stored.write_bytes(source.replace(b"1.0", b"2.0"))
    response = desk.route(registered["version"])
    assert (response.status_code, response.json()["code"]) == (422, "version_failed_to_start")
    assert "it was changed on disk" in response.json()["detail"]


def list_artefacts(serving: ServingProcess, digest: str) -> list[Path]:
    """The stored files of a digest."""
    return sorted(serving.folder.rglob(f"artefacts/{digest}*"))


@pytest.mark.parametrize("function", [eval, os.system], ids=["eval", "os.system"])
def test_a_skops_file_that_would_call_a_program_is_refused_by_its_name(
    desk: Desk, function: Callable[..., Any]
) -> None:
    step = FunctionTransformer(function)
    data = skops.io.dumps(make_pipeline(step, LogisticRegression()))
    problem = desk.tried(data)
    assert problem["code"] == "version_failed_to_start"
    assert (
        f"types that may run code: {function.__module__}.{function.__name__}" in problem["detail"]
    )


def test_only_an_admin_key_registers_a_version(desk: Desk, serving: ServingProcess) -> None:
    key = serving.client.post("/v1/keys", json={"name": "reader", "scopes": ["predict", "read"]})
    with serving.with_key(key.json()["key"]) as client:
        refused = Desk(client).register(estimator())
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert client.put(f"{URL}/route", json=single("faulty:f1")).status_code == 403


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda source: source + b"    print('x' * 10**6)\n",
        lambda source: b"import os, threading, time\n" + source + b"os.fork() or time.sleep(30)\n",
    ],
    ids=["prints at length", "forks"],
)
def test_a_model_that_prints_or_forks_serves(desk: Desk, change: Change) -> None:
    source = b"def answer(rows):\n    print('x' * 1000)\n    return [1.0] * len(rows)\n"
    assert desk.register(change(source), entry="m:answer").status_code == 201
    assert desk.route(f"f{desk._count}").status_code == 200
    assert desk.predict()[0]["output"] == 1.0
