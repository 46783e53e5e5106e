"""The admin API over a real process, a real Postgres and real replicas."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.service import wait_until
from tests.support.serving import ServingProcess, artefact, reference, register, single

APPLICATION = {
    "name": "fraud",
    "task": "binary",
    "default_output": 0,
    "latency_objective_ms": 5000,
}
JSON = {"Content-Type": "application/json"}
ROUTE = "/v1/applications/fraud/route"
ROLLBACK = "/v1/applications/fraud/rollback"
PREDICT = "/v1/applications/fraud/predictions"


@pytest.fixture
def serving(database: str, tmp_path: Path) -> Iterator[ServingProcess]:
    process = ServingProcess(database, tmp_path, SERVING_DEPLOY_TIMEOUT="30")
    process.start()
    try:
        yield process
    finally:
        process.stop()
        process.client.close()


@pytest.fixture
def client(serving: ServingProcess) -> httpx.Client:
    """A client of a process with an application and two versions that contradict each other."""
    client = serving.client
    assert client.post("/v1/applications", json=APPLICATION).status_code == 201
    for version, inverted in (("1", False), ("2", True)):
        made = register(
            client, version, artefact(inverted=inverted), reference=reference(inverted=inverted)
        )
        assert made.status_code == 201, made.text
    return client


def predict(client: httpx.Client) -> dict[str, Any]:
    answer = client.post(PREDICT, json={"input": [2.0, 0.0, 0.0]})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    return str(body["code"])


def test_versions_are_deployed_rolled_back_and_restored(
    serving: ServingProcess, client: httpx.Client
) -> None:
    assert code(client.get(ROUTE)) == "route_not_found"
    first = client.put(ROUTE, json={**single("m:1"), "reason": "the first"})
    assert first.status_code == 200, first.text
    assert (first.json()["revision"], first.json()["reason"]) == (1, "the first")
    # The schema was inferred from the reference rows of the first version.
    assert client.get("/v1/applications/fraud").json()["features"] == ["a", "b", "c"]
    assert predict(client)["output"] == 1
    assert client.put(ROUTE, json=single("m:2")).json()["revision"] == 2
    assert predict(client)["output"] == 0

    # An artefact that cannot be loaded leaves the route, and says why in its own words.
    assert register(client, "3", b"no joblib").status_code == 201
    failed = client.put(ROUTE, json=single("m:3"))
    assert code(failed) == "version_failed_to_start"
    assert "Traceback" in failed.json()["detail"]
    assert client.get(ROUTE).json()["revision"] == 2
    assert predict(client)["version"] == "2"

    # What the route and its last good revision need cannot be deleted; the rest can.
    for needed in ("1", "2"):
        assert code(client.delete(f"/v1/models/m/versions/{needed}")) == "version_in_use"
    assert client.delete("/v1/models/m/versions/3").status_code == 204
    assert code(client.put(ROUTE, json=single("m:3"))) == "version_not_found"

    # After a crash the newest revision answers, and the last good one is warm again.
    serving.kill()
    serving.start()
    assert predict(client)["version"] == "2"
    deadline = time.monotonic() + 30
    while 'replica_ready{version="m:1"} 1\n' not in client.get("/metrics").text:
        assert time.monotonic() < deadline, client.get("/metrics").text
        time.sleep(0.1)
    back = client.post(ROLLBACK, json={"reason": "worse", "evidence": {"e": 20}})
    assert back.status_code == 200, back.text
    assert (back.json()["kind"], back.json()["restores"]) == ("rollback", 1)
    assert back.json()["evidence"] == {"e": 20}
    assert predict(client)["version"] == "1"
    assert code(client.post(ROLLBACK)) == "nothing_to_roll_back_to"
    history = client.get("/v1/applications/fraud/revisions").json()["revisions"]
    assert [one["revision"] for one in history] == [3, 2, 1]


def test_a_rollback_under_load_defaults_nothing(client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    client.put(ROUTE, json=single("m:2"))
    predict(client)
    answers: list[dict[str, Any]] = []
    done = Event()

    def load() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers) as mine:
            while not done.is_set():
                answers.append(predict(mine))

    def answered(version: str) -> bool:
        return [one["version"] for one in answers].count(version) >= 20

    callers = [Thread(target=load) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: answered("2"))
        back = client.post(ROLLBACK)
        wait_until(lambda: answered("1"))
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert back.status_code == 200
    assert not any(one["default"] for one in answers)
    assert {one["version"] for one in answers} == {"1", "2"}
    assert predict(client)["version"] == "1"


def test_a_label_joins_its_prediction_at_once(client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    made = predict(client)
    report = {"prediction_id": made["id"], "label": 0}
    first = client.post("/v1/feedback", json=report)
    assert (first.status_code, first.json()["accepted"]) == (202, 1)
    assert client.post("/v1/feedback", json=report).json()["duplicates"] == 1
    seen = client.get(f"/v1/predictions/{made['id']}").json()
    assert (seen["output"], seen["version"]) == (1, "1")
    assert [one["label"] for one in seen["feedback"]] == [0]


def test_a_change_sent_again_is_answered_as_before_and_made_once(client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    headers = {"Idempotency-Key": "one"}
    first = client.put(ROUTE, json=single("m:2"), headers=headers)
    again = client.put(ROUTE, json=single("m:2"), headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert client.get(ROUTE).json()["revision"] == 2
    other = client.put(ROUTE, json=single("m:1"), headers=headers)
    assert (other.status_code, code(other)) == (409, "idempotency_key_reused")

    # Uploads too, although each has another multipart boundary.
    for status in (201, 201):
        sent = client.post(
            "/v1/models/m/versions",
            data={"manifest": '{"version": "9", "framework": "sklearn"}'},
            files={"artefact": ("m.joblib", b"bytes")},
            headers={"Idempotency-Key": "upload"},
        )
        assert sent.status_code == status, sent.text
    assert register(client, "9", b"bytes").status_code == 200
    assert code(register(client, "9", b"other")) == "version_exists"


def test_a_rollback_whose_answer_was_lost_goes_one_step_back_however_often_it_is_sent(
    client: httpx.Client,
) -> None:
    for version in ("1", "2", "1"):
        assert client.put(ROUTE, json=single(f"m:{version}")).status_code == 200
    host, port = client.base_url.host, client.base_url.port
    body = b'{"expected_revision":3}'
    with socket.create_connection((host, port)) as lost:
        # The client goes before it can read what was done.
        lost.sendall(
            f"POST {ROLLBACK} HTTP/1.1\r\nHost: x\r\nIdempotency-Key: back\r\n"
            f"Authorization: {client.headers['authorization']}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\n\r\n".encode()
            + body
        )
    answers: list[httpx.Response] = []

    def again() -> None:
        headers = {**client.headers, **JSON, "Idempotency-Key": "back"}
        with httpx.Client(base_url=client.base_url, headers=headers, timeout=60) as mine:
            answers.append(mine.post(ROLLBACK, content=body))

    # Some come while the first one is under way, and find that revision 3 is in force no longer.
    threads = [Thread(target=again) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again()
    assert [one.status_code for one in answers] == [200] * 7, [one.text for one in answers]
    assert {(one.json()["revision"], one.json()["restores"]) for one in answers} == {(4, 2)}
    assert client.get(ROUTE).json()["revision"] == 4
    assert predict(client)["version"] == "2"


def test_changes_at_once_get_numbers_of_their_own(client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    answers: list[httpx.Response] = []

    def change(version: str) -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as mine:
            answers.append(mine.put(ROUTE, json=single(version)))

    threads = [Thread(target=change, args=(f"m:{1 + place % 2}",)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.json()["revision"] for one in answers) == [2, 3, 4, 5, 6, 7]
    moved = client.put(ROUTE, json={**single("m:1"), "expected_revision": 3})
    assert (moved.status_code, code(moved)) == (409, "revision_moved")


def test_a_schema_change_is_a_revision_and_a_rollback_returns_to_the_form_before(
    client: httpx.Client,
) -> None:
    client.put(ROUTE, json=single("m:1"))
    narrow = {"type": "object", "properties": {"a": {"type": "number"}}}
    refused = client.patch("/v1/applications/fraud", json={"input_schema": narrow})
    assert code(refused) == "probe_failed"
    assert client.get(ROUTE).json()["revision"] == 1
    schema = {
        "type": "object",
        "properties": {name: {"type": ["number", "null"]} for name in ("a", "b", "c")},
    }
    changed = client.patch(
        "/v1/applications/fraud", json={"input_schema": schema, "latency_objective_ms": 4000}
    )
    assert changed.status_code == 200, changed.text
    assert changed.json()["input_schema"] == schema
    assert changed.json()["latency_objective_ms"] == 4000
    assert client.get(ROUTE).json()["revision"] == 2
    back = client.post(ROLLBACK, json={"to_revision": 1})
    assert back.status_code == 200, back.text
    assert client.get("/v1/applications/fraud").json()["input_schema"] != schema


def test_a_key_may_do_what_its_scopes_say(serving: ServingProcess, client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    made = client.post("/v1/keys", json={"name": "caller", "scopes": ["predict"]})
    assert made.status_code == 201
    assert made.json()["key"] not in client.get("/v1/keys").text
    with serving.with_key(made.json()["key"]) as caller:
        assert predict(caller)["output"] == 1
        denied = caller.get(ROUTE)
        assert (denied.status_code, code(denied)) == (403, "scope_missing")
        assert code(caller.put(ROUTE, json=single("m:2"))) == "scope_missing"
        assert client.delete(f"/v1/keys/{made.json()['id']}").status_code == 204
        gone = caller.post(PREDICT, json={"input": [1.0, 0.0, 0.0]})
    assert (gone.status_code, code(gone)) == (401, "unauthenticated")
    own = next(key for key in client.get("/v1/keys").json()["keys"] if key["name"] == "operator")
    assert code(client.delete(f"/v1/keys/{own['id']}")) == "last_admin_key"


def test_a_long_upload_is_read_from_those_who_may_send_it_alone(client: httpx.Client) -> None:
    address = (client.base_url.host, client.base_url.port)
    for lengths in ("Content-Length: 400000000", "Transfer-Encoding: chunked"):
        with socket.create_connection(address, timeout=20) as stranger:
            stranger.sendall(
                "POST /v1/models/m/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
                f"Content-Type: multipart/form-data; boundary=b\r\n{lengths}\r\n\r\n".encode()
            )
            # Before a byte of the body has come.
            assert stranger.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_deleted_application_answers_nothing_and_keeps_its_name(client: httpx.Client) -> None:
    client.put(ROUTE, json=single("m:1"))
    assert client.delete("/v1/applications/fraud").status_code == 204
    answer = client.post(PREDICT, json={"input": [1.0, 0.0, 0.0]})
    assert code(answer) == "application_not_found"
    assert code(client.post("/v1/applications", json=APPLICATION)) == "application_exists"
    assert client.delete("/v1/models/m/versions/1").status_code == 204


def test_what_no_route_takes_is_a_problem(client: httpx.Client) -> None:
    assert code(client.get("/nothing")) == "path_not_found"
    assert code(client.delete("/livez")) == "method_not_allowed"
    for text in (b"{", b'{"name": "x", "task": "binary"', b"[" * 100_000, b"\xff\xfe"):
        broken = client.post("/v1/applications", content=text, headers=JSON)
        assert code(broken) == "malformed_body"
    wrong = client.post("/v1/applications", json={"name": "x", "task": "guess", "more": 1})
    assert code(wrong) == "invalid_request"
    assert {one["path"] for one in wrong.json()["errors"]} == {"/task", "/more"}
    assert code(client.get("/v1/applications/fraud/revisions?limit=x")) == "invalid_request"
    large = client.post("/v1/applications", content=b"x" * (9 * 1024 * 1024))
    assert (large.status_code, code(large)) == (413, "body_too_large")
    policy = client.put(ROUTE, json={"policy": {"kind": "single"}})
    assert (code(policy), policy.json()["errors"][0]["path"]) == (
        "invalid_policy",
        "/policy/champion",
    )


def test_what_is_too_much_is_refused_and_holds_up_nobody(
    serving: ServingProcess, client: httpx.Client
) -> None:
    many = [f"m:{number}" for number in range(20_000)]
    assert code(client.put(ROUTE, json=ensemble(many[:1000]))) == "invalid_policy"
    assert code(client.put(ROUTE, json=ensemble(many))) == "invalid_policy"
    stages = [{"version": one, "accept_at": 0.5} for one in many]
    cascade = {"policy": {"kind": "cascade", "stages": stages}}
    assert code(client.put(ROUTE, json=cascade)) == "invalid_policy"
    missing = client.put(ROUTE, json=ensemble(many[:200]))
    assert code(missing) == "version_not_found"
    assert "and 188 more" in missing.json()["detail"]
    names = [f"x{number}" for number in range(10_001)]
    for count, status in ((2_000, 201), (10_001, 422)):
        schema = {"properties": {name: {"type": "number"} for name in names[:count]}}
        body = APPLICATION | {"name": f"wide-{count}", "input_schema": schema}
        assert client.post("/v1/applications", json=body).status_code == status
    wide = {"rows": [dict.fromkeys(names, 0.5)], "outputs": [1]}
    refused = client.put("/v1/models/m/versions/1/reference", json=wide)
    assert code(refused) == "invalid_reference"
    # A name that Postgres cannot be asked for; levels that nobody could read out of it again.
    for path in ("applications/a%00", "models/a%00/versions", "keys/%00", "predictions/%00"):
        assert code(client.get(f"/v1/{path}")) in ("path_not_found", "method_not_allowed")
    deep = "[" * 900 + "]" * 900
    for levels, expected in ((60, None), (900, "invalid_request")):
        evidence = f'{{"a": {deep[900 - levels : 900 + levels]}}}'
        body_text = f'{{"policy": {{"kind": "single", "champion": "m:1"}}, "evidence": {evidence}}}'
        answer = client.put(ROUTE, content=body_text, headers=JSON)
        assert answer.json().get("code") == expected, answer.text
        assert client.get(f"{ROUTE}").status_code == 200
        assert client.get("/v1/applications/fraud/revisions").status_code == 200
    assert "request_failed" not in serving.log()


def ensemble(members: list[str]) -> dict[str, Any]:
    return {"policy": {"kind": "ensemble", "members": members, "combine": "mean"}}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["name", "task", "input_schema", "default_output", "latency_objective_ms", "context_keys",
     "durability", "policy", "reason", "evidence", "expected_revision", "to_revision", "rows",
     "labels", "outputs", "scopes", "feedback", "prediction_id", "label", "observed_at",
     "version", "framework", "uri", "input", "inputs", "context"]
)  # fmt: skip
TARGETS = st.sampled_from(
    [
        ("POST", "/v1/applications"),
        ("PATCH", "/v1/applications/fraud"),
        ("PUT", ROUTE),
        ("POST", ROLLBACK),
        ("POST", PREDICT),
        ("POST", "/v1/feedback"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/models/m/versions"),
        ("PUT", "/v1/models/m/versions/1/reference"),
    ]
)
BODIES = VALUES | st.dictionaries(FIELDS, VALUES, max_size=5)


def test_no_body_is_answered_with_an_error_of_ours(
    serving: ServingProcess, client: httpx.Client
) -> None:
    client.put(ROUTE, json=single("m:1"))

    @settings(
        max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(TARGETS, BODIES, st.sampled_from([None, "again", "other"]))
    def send(target: tuple[str, str], body: Any, again: str | None) -> None:
        method, path = target
        headers = {} if again is None else {"Idempotency-Key": again}
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 500, f"{method} {path} {body!r}: {answer.text}"
        if answer.status_code >= 400:
            code(answer)

    send()
    assert "request_failed" not in serving.log()
    assert predict(client)["application"] == "fraud"


UNSTORABLE = [
    b'{"name": "\\u0000", "task": "binary"}',
    b'{"name": "x", "task": "binary", "default_output": "\\ud800"}',
    b'{"name": "x", "task": "binary", "default_output": NaN}',
    b'{"name": "x", "task": "regression", "default_output": 1e999}',
    b'{"name": "x", "task": "binary", "latency_objective_ms": ' + b"1" * 4000 + b"}",
    b'{"name": "x", "task": "binary", "latency_objective_ms": ' + b"1" * 5000 + b"}",
    b"",
]


def test_what_postgres_or_the_parser_cannot_take_is_refused(serving: ServingProcess) -> None:
    for text in UNSTORABLE:
        answer = serving.client.post("/v1/applications", content=text, headers=JSON)
        assert answer.status_code in (400, 422), f"{text[:80]!r}: {answer.text}"
        code(answer)
