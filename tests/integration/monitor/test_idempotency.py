"""A change of the monitor that is sent again is made once."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.monitor_api import monitor_api
from tests.support.monitoring import bad_release, lay, settings_for

AGAIN = {"Idempotency-Key": "once"}


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    asyncio.run(lay(database, bad_release()))
    with monitor_api(settings_for(database, webhook_allow_private=True)) as made:
        yield made


def silence(reason: str = "maintenance") -> dict[str, str]:
    return {"application": "market", "until": "2999-01-01T00:00:00Z", "reason": reason}


def test_the_same_change_again_is_made_once_and_answered_alike(client: httpx.Client) -> None:
    answers = [client.post("/v1/silences", json=silence(), headers=AGAIN) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert len(client.get("/v1/silences").json()) == 1
    client.post("/v1/silences", json=silence())
    assert len(client.get("/v1/silences").json()) == 2


def test_many_at_once_make_one_change(client: httpx.Client) -> None:
    def post(_: int) -> httpx.Response:
        return client.post("/v1/silences", json=silence(), headers=AGAIN)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/v1/silences").json()) == 1


def test_another_request_with_the_same_key_is_refused(client: httpx.Client) -> None:
    assert client.post("/v1/silences", json=silence(), headers=AGAIN).status_code == 201
    for answer in (
        client.post("/v1/silences", json=silence("another"), headers=AGAIN),
        client.delete("/v1/silences/1", headers=AGAIN),
    ):
        assert answer.status_code == 409
        assert answer.json()["code"] == "idempotency_key_reused"
    assert len(client.get("/v1/silences").json()) == 1


def test_a_deletion_is_repeated_without_a_body_and_a_refusal_is_not_kept(
    client: httpx.Client,
) -> None:
    number = client.post("/v1/silences", json=silence()).json()["id"]
    path = f"/v1/silences/{number}"
    for _ in range(2):
        answer = client.delete(path, headers=AGAIN)
        assert (answer.status_code, answer.content) == (204, b"")
    assert client.delete(path).status_code == 404
    bad = silence() | {"until": "2000-01-01T00:00:00Z"}
    other = {"Idempotency-Key": "other"}
    assert client.post("/v1/silences", json=bad, headers=other).status_code == 422
    assert client.post("/v1/silences", json=silence(), headers=other).status_code == 201


def test_every_change_takes_the_header(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    without = [
        f"{method} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("post", "put", "patch", "delete")
        and "Idempotency-Key" not in {one["name"] for one in operation.get("parameters", [])}
    ]
    assert without == []
