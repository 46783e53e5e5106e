"""The Open Inference Protocol, spoken by a client that others wrote."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.support.serving import ADMIN_KEY, FEATURES, ServingProcess, artefact, register, single


def headers() -> dict[str, str]:
    """A dictionary for one call: the client writes into it."""
    return {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture(scope="module")
def serving(
    module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServingProcess]:
    process = ServingProcess(module_database, tmp_path_factory.mktemp("serving"))
    process.start()
    try:
        client = process.client
        for name, inverted in (("1", False), ("2", True)):
            register(client, name, artefact(inverted=inverted)).raise_for_status()
        schema = {"type": "object", "properties": {name: {"type": "number"} for name in FEATURES}}
        made = client.post(
            "/v1/applications",
            json={
                "name": "app",
                "task": "binary",
                "input_schema": schema,
                "default_output": 0,
                "latency_objective_ms": 5000,
            },
        )
        made.raise_for_status()
        client.put("/v1/applications/app/route", json=single("m:1")).raise_for_status()
        yield process
    finally:
        process.client.close()
        process.stop()


@pytest.fixture
def client(serving: ServingProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(str(serving.client.base_url.netloc.decode())) as made:
        yield made


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    array = np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_the_server_and_its_models_say_what_they_are(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "leadsman"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for name, version in (("app", ""), ("m", ""), ("m", "1"), ("app", "1")):
        assert client.is_model_ready(name, version, headers=headers())
        told = client.get_model_metadata(name, version, headers=headers())
        assert told["versions"] == ["1"]
        assert told["inputs"][0]["shape"] == [-1, 3]
        assert {one["name"]: one["datatype"] for one in told["outputs"]} == {
            "output": "INT64", "scores": "FP64", "prediction_id": "BYTES", "default": "BOOL",
            "version": "BYTES",
        }  # fmt: skip


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT32"])
def test_a_matrix_is_answered_row_by_row_and_recorded(
    serving: ServingProcess, client: triton.InferenceServerClient, datatype: str, binary: bool
) -> None:
    rows = np.array(
        [[2, 0, 0], [-2, 1, 1], [3, 5, 5]], {"FP64": "f8", "FP32": "f4"}.get(datatype, "i4")
    )
    asked = [triton.InferRequestedOutput(n, binary_data=binary) for n in ("output", "scores")]
    got = client.infer(
        "app", [tensor("x", rows, datatype, binary=binary)], request_id="17", outputs=asked,
        headers=headers(), parameters={"user": "u1"},
    )  # fmt: skip
    assert got.as_numpy("output").tolist() == [1, 0, 1]
    assert got.as_numpy("scores").shape == (3, 2)
    assert np.allclose(got.as_numpy("scores").sum(axis=1), 1)
    response = got.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("17", "app", "1")
    for row, answer in zip(rows.tolist(), got.as_numpy("prediction_id"), strict=True):
        text = answer if isinstance(answer, str) else answer.decode()
        trace = traced(serving.client, text)
        assert list(trace["input"].values()) == row
        assert trace["context"] == {"user": "u1"}


def traced(client: httpx.Client, prediction: str) -> dict[str, Any]:
    UUID(prediction)
    found = client.get(f"/v1/predictions/{prediction}")
    found.raise_for_status()
    body: dict[str, Any] = found.json()
    return body


def test_a_tensor_for_each_feature_says_the_same_in_any_order(
    client: triton.InferenceServerClient,
) -> None:
    named = {"c": [0.0, 0.0], "a": [-1.0, 1.0], "b": [5.0, 5.0]}
    tensors = [tensor(name, np.array(values), "FP64") for name, values in named.items()]
    got = client.infer("app", tensors, headers=headers())
    assert got.as_numpy("output").tolist() == [0, 1]


def test_a_version_in_the_path_answers_whatever_the_route_would_choose(
    serving: ServingProcess, client: triton.InferenceServerClient
) -> None:
    canary = {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.0}
    serving.client.put("/v1/applications/app/route", json={"policy": canary}).raise_for_status()
    try:
        rows = [tensor("x", np.array([[2.0, 0, 0]]), "FP64")]
        for version, output in (("1", 1), ("2", 0)):
            got = client.infer("m", rows, model_version=version, headers=headers())
            assert got.as_numpy("output").tolist() == [output]
            assert got.as_numpy("version").tolist() == [f"m:{version}".encode()]
        with pytest.raises(InferenceServerException, match='No such version: "m:9"'):
            client.infer("m", rows, model_version="9", headers=headers())
    finally:
        serving.client.put("/v1/applications/app/route", json=single("m:1")).raise_for_status()


def test_feedback_names_a_prediction_that_came_this_way(
    serving: ServingProcess, client: triton.InferenceServerClient
) -> None:
    got = client.infer("app", [tensor("x", np.array([[2.0, 0, 0]]), "FP64")], headers=headers())
    prediction = got.as_numpy("prediction_id")[0].decode()
    sent = serving.client.post("/v1/feedback", json={"prediction_id": prediction, "label": 0})
    assert sent.status_code == 202
    assert sent.json()["accepted"] == 1


GOOD = {"name": "x", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}
BAD: list[tuple[str, Any, int, str]] = [
    ("no JSON", b"{", 400, "JSON"),
    ("no inputs", {}, 422, "inputs"),
    ("an empty list", {"inputs": []}, 422, "at least one tensor"),
    ("an unknown datatype", {"datatype": "FP1"}, 422, "/inputs/0/datatype"),
    ("another width", {"shape": [1, 2], "data": [1, 2]}, 422, "[rows, 3]"),
    ("no rows", {"shape": [0, 3], "data": []}, 422, "[rows, 3]"),
    ("too few values", {"data": [1, 2]}, 422, "expected 3 values, received 2"),
    ("text among numbers", {"data": [1, 2, "x"]}, 422, "'x' at place 2"),
    ("fractions as integers", {"datatype": "INT64", "data": [1, 2.5, 3]}, 422, "values of INT64"),
    ("a number that is too large", {"datatype": "INT8", "data": [1, 2, 300]}, 422, "INT8 can hold"),
    ("null where none may be", {"data": [1, None, 3]}, 422, "b: a number"),
    ("no data", {"data": None}, 422, "an array"),
    ("binary data that are not there", {"parameters": {"binary_data_size": 24}}, 422, "up to 0"),
    ("a shape of a huge size", {"shape": [10**12, 3]}, 422, "3000000000000 values"),
    ("many rows", {"shape": [10_001, 3], "data": [0] * 30_003}, 413, "at most 10000"),
    (
        "a long context",
        {"inputs": [GOOD], "parameters": {"user": "x" * 70_000}},
        422,
        "/parameters: expected an object of at most 65536 bytes",
    ),
    ("a negative length", {"shape": [-1, 3]}, 422, "rows first"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "status", "said"), BAD, ids=[one[0] for one in BAD])
def test_bad_input_is_told_in_the_protocols_own_field(
    serving: ServingProcess, what: str, body: Any, status: int, said: str
) -> None:
    if isinstance(body, dict) and "inputs" not in body and body:
        body = {"inputs": [GOOD | body]}
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    got = serving.client.post("/v2/models/app/infer", **sent)
    assert got.status_code == status
    assert said in got.json()["error"]
    assert got.json()["code"]


def test_a_binary_body_is_taken_by_its_stated_lengths_only(serving: ServingProcess) -> None:
    head = (
        b'{"inputs":[{"name":"x","datatype":"FP64","shape":[1,3],"parameters":'
        b'{"binary_data_size":24}}]}'
    )
    data = np.array([2.0, 0, 0]).tobytes()
    url = "/v2/models/app/infer"

    def post(body: bytes, length: str) -> httpx.Response:
        return serving.client.post(
            url, content=body, headers={"Inference-Header-Content-Length": length}
        )

    assert post(head + data, str(len(head))).json()["outputs"][0]["data"] == [1]
    assert post(head + data + b"x", str(len(head))).status_code == 400
    assert post(head + data[:-1], str(len(head))).status_code == 422
    for wrong in ("x", "-1", "9999", ""):
        assert post(head + data, wrong).status_code == 400


def test_keys_and_names_are_checked(serving: ServingProcess) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}]}
    with serving.with_key("nobody") as anonymous:
        assert anonymous.post("/v2/models/app/infer", json=body).status_code == 401
        assert anonymous.get("/v2/models/app").status_code == 401
        assert anonymous.get("/v2").status_code == 200
    missing = serving.client.post("/v2/models/nothing/infer", json=body)
    assert missing.status_code == 404
    assert missing.json()["error"] == 'No model is named "nothing".'
    assert serving.client.get("/v2/models/nothing/ready").status_code == 404
