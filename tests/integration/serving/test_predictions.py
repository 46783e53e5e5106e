import asyncio
import json
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
import uvloop

from serving import ids
from serving.batching import BatchQueue
from serving.inference import FLAG_DEFAULT, FLAG_SHADOW
from serving.launchers.process import ProcessLauncher
from serving.nesting import MOST_LEVELS
from tests.support.data_plane import (
    KEY,
    application,
    plane,
    python_version,
    sklearn_version,
    started,
)

PATH = "/v1/applications/app/predictions"
SUM = "def answer(rows):\n    return rows[:, 0] + rows[:, 1]"
CHANGING = ("id", "latency_ms", "predicted_at")


def told(response: httpx.Response) -> tuple[int, str, Any]:
    """An answer without what differs between two equal requests."""
    body = response.json()
    for one in body.get("predictions", [body]):
        for name in CHANGING:
            one.pop(name, None)
    return response.status_code, response.headers["content-type"], body


BODIES: list[Any] = [
    {"input": {"a": 3, "b": -3}},
    {"input": [3.5, None]},
    {"input": {"b": -3, "a": 3}, "context": {"user": 7, "place": "x"}},
    {"inputs": [{"a": 1, "b": 2}, [5, 2], {"a": "x", "b": 2}, [1], {"a": 1, "b": 2, "c": 3}]},
    {"inputs": [{"a": float("nan"), "b": 1}, {"a": 1, "b": 1}]},
    {"inputs": []},
    {"inputs": {}},
    {"input": {"a": 1}},
    {"input": {"a": 1, "b": float("nan")}},
    {"input": {"a": 1, "b": 1}, "inputs": []},
    {"input": {"a": 1, "b": 1}, "context": [1]},
    {"input": {"a": 1, "b": 1}, "contxt": {}},
    {"input": 3},
    {},
    [],
    None,
]
RAW = [
    b"", b"{", b"\xff", b'{"input": [1, 1e999]}', b'{"input": [1, 2]} x', b"[" * 100_000,
    b'{"input": {"a": 1, "b": 2}, "context": {"x": "\\ud800"}}',
    b'{"input": {"a": 1, "a": 4, "b": 2}}', b'{"input": [' + b"1" * 400 + b", 2]}",
    b'{"input": ' + b" " * 200_000 + b"[1, 2]}",
]  # fmt: skip


def test_the_quick_way_and_the_frameworks_way_answer_the_same(tmp_path: Path) -> None:
    # NaN answers: a model that cannot take null fails on that row, in both ways alike.
    async def run() -> None:
        async with (
            started(tmp_path, sklearn_version(tmp_path)) as queue,
            plane(tmp_path, {"m:1": queue}) as on,
        ):
            for body in [json.dumps(one).encode() for one in BODIES] + RAW:
                quick = await on.client.post(PATH, content=body)
                framework = await on.framework.post(PATH, content=body)
                assert told(quick) == told(framework), body[:80]
                assert quick.status_code in (200, 400, 413, 422)
            for headers in ({"Authorization": ""}, {"Authorization": "Bearer x"}):
                quick = await on.client.post(PATH, json=BODIES[0], headers=headers)
                framework = await on.framework.post(PATH, json=BODIES[0], headers=headers)
                assert told(quick) == told(framework)
                assert quick.status_code == 401

    uvloop.run(run())


def test_an_answer_has_the_documented_fields_and_is_recorded_as_it_left(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, sklearn_version(tmp_path)) as queue,
            plane(tmp_path, {"m:1": queue}) as on,
        ):
            body = {"input": {"a": 3, "b": -3}, "context": {"user": 7}}
            response = await on.client.post(PATH, json=body)
            answer = response.json()
            assert list(answer) == [
                "id", "application", "revision", "model", "version", "output", "scores",
                "default", "cached", "latency_ms", "predicted_at",
            ]  # fmt: skip
            assert answer["output"] == 1
            assert not answer["default"]
            (record,) = on.records()
            assert record.id == UUID(answer["id"]).bytes
            assert record.output == b"1"
            assert record.input == np.array([3.0, -3.0]).tobytes()
            assert record.scores == np.array(answer["scores"]).tobytes()
            assert json.loads(record.context or b"") == {"user": 7}
            assert (record.flags, record.default_reason, record.version_id) == (0, None, 1)
            assert record.propensity == 1
            at = datetime.fromisoformat(answer["predicted_at"])
            assert round(at.timestamp() * 1e6) == record.predicted_at_us
            assert ids.time_of(record.id) == record.predicted_at_us // 1000 * 1000
            assert answer["latency_ms"] == record.latency_us / 1000

    uvloop.run(run())


def test_a_batch_keeps_its_order_and_its_wrong_items_name_their_fields(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}) as on,
        ):
            inputs: list[Any] = [[n, 1] for n in range(50)]
            inputs[7] = {"a": 1, "b": "x"}
            response = await on.client.post(PATH, json={"inputs": inputs})
            predictions = response.json()["predictions"]
            assert len(predictions) == 50
            problem = predictions.pop(7)["error"]
            assert problem["code"] == "invalid_input"
            assert problem["errors"][0]["path"] == "/inputs/7/b"
            assert [one["output"] for one in predictions] == [
                n + 1 for n in range(50) if n != 7
            ]  # fmt: skip
            assert len(on.records()) == 49

    uvloop.run(run())


def test_rows_and_context_of_one_request_are_bounded(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, rows_limit=3, limit=200_000) as on,
        ):
            for client in (on.client, on.framework):
                most = await client.post(PATH, json={"inputs": [[1, 2]] * 3})
                assert len(most.json()["predictions"]) == 3
                for one in ([1, 2], 0):
                    more = await client.post(PATH, json={"inputs": [one] * 4})
                    assert (more.status_code, more.json()["code"]) == (413, "too_many_rows")
                    assert more.json()["detail"] == "Expected at most 3 in one request, received 4."
                # The record keeps a context with each row.
                for length, status in ((60_000, 200), (70_000, 422)):
                    context = {"user": "x" * length}
                    told = await client.post(PATH, json={"input": [1, 2], "context": context})
                    assert told.status_code == status
                assert told.json()["errors"][0]["path"] == "/context"
                # Who reads the record again does it by recursion.
                for levels, status in ((MOST_LEVELS, 200), (MOST_LEVELS + 1, 422), (900, 422)):
                    inner = levels - 1
                    deep = f'{{"user": {"[" * inner}{"]" * inner}}}'
                    told = await client.post(
                        PATH, content=f'{{"input": [1, 2], "context": {deep}}}'
                    )
                    assert told.status_code == status, (levels, told.text)
                assert told.json()["errors"][0]["path"] == "/context"

    uvloop.run(run())


def test_a_slow_model_leaves_the_default_with_its_reason_by_the_deadline(tmp_path: Path) -> None:
    code = "import time\ndef answer(rows):\n    time.sleep(.5)\n    return rows[:, 0]"

    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, code)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=0.1)) as on,
        ):
            answer = (await on.client.post(PATH, json={"input": [1, 2]})).json()
            assert (answer["output"], answer["default"]) == (-1, True)
            assert answer["default_reason"] == "deadline"
            assert 90 < answer["latency_ms"] < 400
            (record,) = on.records()
            assert (record.flags, record.default_reason) == (FLAG_DEFAULT, 1)
            assert record.output == b"-1"
            counts = on.inference.counts["app"]
            assert counts.defaults == {("m:1", 1): 1}
            assert counts.histogram("m:1").count == 1

    uvloop.run(run())


def test_without_a_replica_the_default_comes_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        queue = BatchQueue(python_version(tmp_path, SUM), ProcessLauncher(tmp_path / "r"))
        await queue.stop()
        async with plane(tmp_path, {"m:1": queue}) as on:
            answer = (await on.client.post(PATH, json={"input": [1, 2]})).json()
            assert answer["default_reason"] == "no_replica"
            assert answer["latency_ms"] < 1000

    uvloop.run(run())


def test_shadows_are_recorded_with_the_id_of_the_answer_and_never_delay_it(tmp_path: Path) -> None:
    slow = "import time\ndef answer(rows):\n    time.sleep(.3)\n    return -rows[:, 0]"

    async def run() -> None:
        first = python_version(tmp_path, SUM)
        second = python_version(tmp_path, slow, name="m:2", number=2)
        policy = {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"]}
        async with started(tmp_path, first) as one, started(tmp_path, second) as two:
            queues = {"m:1": one, "m:2": two}
            async with plane(tmp_path, queues, policy=policy) as on:
                answer = (await on.client.post(PATH, json={"input": [4, 1]})).json()
                assert answer["version"] == "1"
                assert answer["latency_ms"] < 250
                assert len(on.records()) == 1
                assert await on.inference.settle(timedelta(seconds=10))
                primary, shadow = on.records()
                assert (primary.flags, shadow.flags) == (0, FLAG_SHADOW)
                assert primary.id == shadow.id
                assert primary.predicted_at_us == shadow.predicted_at_us
                assert (primary.version_id, shadow.version_id) == (1, 2)
                assert (primary.output, shadow.output) == (b"5.0", b"-4.0")
                assert on.inference.counts["app"].shadows == {"m:2": 1}

    uvloop.run(run())


def test_killing_the_replica_under_load_gives_no_default_within_the_objective(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, sklearn_version(tmp_path)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=20)) as on,
        ):
            answers: list[dict[str, Any]] = []

            async def client() -> None:
                for n in range(60):
                    response = await on.client.post(PATH, json={"input": [n, 30]})
                    assert response.status_code == 200
                    answers.append(response.json())
                    if len(answers) == 100:
                        assert queue.pid is not None
                        os.kill(queue.pid, signal.SIGKILL)

            await asyncio.gather(*(client() for _ in range(8)))
            assert queue.restarts == 1
            assert [one for one in answers if one["default"]] == []
            recorded = {record.id for record in on.records()}
            assert recorded == {UUID(one["id"]).bytes for one in answers}

    uvloop.run(run())


def test_a_full_journal_gives_503_and_no_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, journal_limit=2000) as on,
        ):
            statuses = []
            for _ in range(20):
                response = await on.client.post(PATH, json={"input": [1, 2]})
                statuses.append(response.status_code)
            assert response.json()["code"] == "journal_full"
            assert int(response.headers["retry-after"]) > 0
            assert set(statuses) == {200, 503}
            assert len(on.records()) == statuses.count(200)

    uvloop.run(run())


def test_only_the_keys_of_a_context_that_the_application_names_are_kept(tmp_path: Path) -> None:
    async def run() -> None:
        of = application(context_keys=("place",))
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=of) as on,
        ):
            body = {"input": [1, 2], "context": {"place": "x", "name": "y"}}
            await on.client.post(PATH, json=body)
            assert on.records()[0].context == b'{"place":"x"}'

    uvloop.run(run())


@pytest.mark.parametrize("way", ["client", "framework"])
def test_a_body_of_ten_megabytes_is_refused_unread(tmp_path: Path, way: str) -> None:
    async def run() -> None:
        queue = BatchQueue(python_version(tmp_path, SUM), ProcessLauncher(tmp_path / "r"))
        async with plane(tmp_path, {"m:1": queue}) as on:
            client: httpx.AsyncClient = getattr(on, way)
            response = await client.post(PATH, content=b" " * 10_000_000)
            assert response.status_code == 413
            assert response.json()["code"] == "body_too_large"
            assert KEY not in response.text

    uvloop.run(run())
