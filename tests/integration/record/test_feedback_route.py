"""`/v1/feedback` and `/v1/predictions/{id}` of a real serving process."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.ids import new_prediction_id, text_of
from tests.support.postgres import execute, with_database
from tests.support.records import NOW_US
from tests.support.serving import ServingProcess, artefact, reference, register, single

APPLICATION = {
    "name": "fraud",
    "task": "binary",
    "default_output": 0,
    "latency_objective_ms": 5000,
    "context_keys": ["customer"],
}
ROW = {"a": 2.0, "b": 0.5, "c": -1.0}


@pytest.fixture(scope="module")
def client(
    postgres_url: str, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A process whose application has a champion and a shadow."""
    name = f"test_{secrets.token_hex(6)}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {database_template}")
    process = ServingProcess(with_database(postgres_url, name), tmp_path_factory.mktemp("serving"))
    process.start()
    client = process.client
    try:
        assert client.post("/v1/applications", json=APPLICATION).status_code == 201
        for version, inverted in (("1", False), ("2", True)):
            given = reference(inverted=inverted)
            answer = register(client, version, artefact(inverted=inverted), reference=given)
            assert answer.status_code == 201, answer.text
        route = single("m:1")
        route["policy"] = {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"]}
        answer = client.put("/v1/applications/fraud/route", json=route)
        assert answer.status_code == 200, answer.text
        yield client
    finally:
        process.stop()
        client.close()
        execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _predict(client: httpx.Client) -> dict[str, Any]:
    body = {"input": ROW, "context": {"customer": "é"}}
    answer = client.post("/v1/applications/fraud/predictions", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_prediction_is_traced_from_the_answer_on(client: httpx.Client) -> None:
    made = _predict(client)
    at_once = client.get(f"/v1/predictions/{made['id']}")
    assert at_once.status_code == 200, at_once.text
    told = client.post("/v1/feedback", json={"prediction_id": made["id"], "label": 0})
    assert told.status_code == 202
    assert told.json() == {"accepted": 1, "duplicates": 0, "corrected": 0, "rejected": []}
    deadline = time.monotonic() + 15
    while True:
        seen = client.get(f"/v1/predictions/{made['id']}").json()
        if seen["shipped"] and seen["shadows"] and seen["feedback"][0]["shipped"]:
            break
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    for trace in (at_once.json(), seen):
        for field in ("id", "application", "revision", "model", "version", "output", "scores"):
            assert trace[field] == made[field]
        assert trace["input"] == ROW
        assert trace["context"] == {"customer": "é"}
        assert (trace["default"], trace["cached"], trace["propensity"]) == (False, False, 1.0)
        assert trace["predicted_at"] == made["predicted_at"]
    (shadow,) = seen["shadows"]
    assert (shadow["version"], shadow["output"]) == ("2", 1 - made["output"])
    assert [label["label"] for label in seen["feedback"]] == [0]


def test_many_labels_are_counted_and_wrong_ones_rejected_by_their_place(
    client: httpx.Client,
) -> None:
    one, two = _predict(client)["id"], _predict(client)["id"]
    body = {
        "feedback": [
            {"prediction_id": one, "label": 1},
            {"prediction_id": "nonsense", "label": 1},
            {"prediction_id": two, "label": 1, "observed_at": "2026-11-01T08:00:00Z"},
            {"prediction_id": one, "label": 1},
            {"prediction_id": one, "label": 0},
        ]
    }
    answer = client.post("/v1/feedback", json=body)
    assert answer.status_code == 202
    told = answer.json()
    assert (told["accepted"], told["duplicates"], told["corrected"]) == (2, 1, 1)
    assert [(r["index"], r["code"]) for r in told["rejected"]] == [(1, "invalid_prediction_id")]
    assert "nonsense" in told["rejected"][0]["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b'{"prediction_id": NaN}', 400, "malformed_body"),
        (b"[" * 100_000, 400, "malformed_body"),
        (b"[]", 422, "invalid_request"),
        (b'{"feedback": {}}', 422, "invalid_request"),
        (b'{"feedback": [], "label": 1}', 422, "invalid_request"),
        (b'{"prediction_id": "x", "label": 1}', 422, "invalid_feedback"),
        (b'{"feedback": [' + b"0," * 10_000 + b"0]}", 413, "too_many_rows"),
        (b"{}", 422, "invalid_feedback"),
    ],
)
def test_a_wrong_body_is_a_problem(
    client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    answer = client.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_empty_list_of_labels_is_taken(client: httpx.Client) -> None:
    answer = client.post("/v1/feedback", json={"feedback": []})
    assert answer.json() == {"accepted": 0, "duplicates": 0, "corrected": 0, "rejected": []}


@pytest.mark.parametrize(
    "name",
    ["x", "9" * 36, "00000000-0000-4000-8000-000000000000", text_of(new_prediction_id(1))],
    ids=["no id", "digits", "another kind of id", "an id of nobody"],
)
def test_a_prediction_that_never_was_is_not_found(client: httpx.Client, name: str) -> None:
    for one in (name, text_of(new_prediction_id(NOW_US))):
        answer = client.get(f"/v1/predictions/{one}")
        assert (answer.status_code, answer.json()["code"]) == (404, "prediction_not_found")
