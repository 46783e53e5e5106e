"""What an operator sets over HTTP, seen from outside: by answers, processes and metrics."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from tests.support.serving import ServingProcess, single

pytestmark = pytest.mark.timeout(120)

OBJECTIVE_MS = 400
APPLICATION = {
    "name": "pids",
    "task": "regression",
    "default_output": -1,
    "latency_objective_ms": OBJECTIVE_MS,
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "number"}},
        "required": ["a"],
    },
}
ROUTE = "/v1/applications/pids/route"
PREDICT = "/v1/applications/pids/predictions"
REPLICAS = "/v1/models/m/versions/1/replicas"
MODEL = """
import os
def answer(rows):
    return [os.getpid()] * len(rows)
"""


def begin(process: ServingProcess, folder: Path, versions: int) -> httpx.Client:
    """Start it with an application and versions that answer with their replica's process."""
    process.start()
    client = process.client
    made = client.post("/v1/applications", json=APPLICATION)
    assert made.status_code == 201, made.text
    for number in range(1, versions + 1):
        package = folder / f"model-{number}"
        package.mkdir()
        (package / "model.py").write_text(MODEL)
        manifest = {"version": str(number), "framework": "python", "entry": "model:answer"}
        stated = {**manifest, "uri": str(package)}
        assert client.post("/v1/models/m/versions", json=stated).status_code == 201
        changed = client.put(ROUTE, json=single(f"m:{number}"))
        assert changed.status_code == 200, changed.text
    return client


@pytest.fixture
def start(database: str, tmp_path: Path) -> Iterator[Callable[..., ServingProcess]]:
    """Starts processes that are ended with the test."""
    made: list[ServingProcess] = []

    def make(versions: int, **settings: str) -> ServingProcess:
        process = ServingProcess(database, tmp_path, **settings)
        made.append(process)
        begin(process, tmp_path, versions)
        return process

    yield make
    for process in made:
        process.stop()
        process.client.close()


def predict(client: httpx.Client, value: float = 1.0) -> dict[str, Any]:
    answer = client.post(PREDICT, json={"input": [value]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def replica_pids(process: ServingProcess) -> set[int]:
    found = set()
    for child in psutil.Process(process.pid).children():
        try:
            if "serving.replica" in child.cmdline():
                found.add(child.pid)
        except psutil.Error:
            continue
    return found


def test_more_good_revisions_than_one_stay_warm(start: Callable[..., ServingProcess]) -> None:
    serving = start(4, SERVING_WARM_REVISIONS="2")
    client = serving.client

    def states() -> dict[str, str | None]:
        shown = (client.get(f"/v1/models/m/versions/{n}/replicas").json() for n in range(1, 5))
        return {str(n): one["state"] for n, one in enumerate(shown, 1)}

    until(lambda: states()["1"] is None)
    assert states() == {"1": None, "2": "ready", "3": "ready", "4": "ready"}
    warm = replica_pids(serving)
    assert len(warm) == 3
    # What is warm cannot be deleted, and two rollbacks in a row start nothing.
    assert client.delete("/v1/models/m/versions/2").status_code == 409
    for version in ("3", "2"):
        back = client.post("/v1/applications/pids/rollback", json={})
        assert back.status_code == 200, back.text
        assert (answer := predict(client))["version"] == version
        assert answer["output"] in warm
    # Back at the second, the first is the last good one again and comes up; what was left goes.
    until(lambda: states() == {"1": "ready", "2": "ready", "3": None, "4": None})


def test_a_change_of_route_forgets_kept_answers_and_says_when_the_last_old_answer_left(
    start: Callable[..., ServingProcess],
) -> None:
    client = start(2, SERVING_CACHE_BYTES="1000000", SERVING_RETIRE_AFTER="600").client
    assert [predict(client)["cached"] for _ in range(3)] == [False, True, True]
    # The same version under a new revision, then another one, then this one again.
    for version in ("2", "1", "2"):
        assert client.put(ROUTE, json=single(f"m:{version}")).status_code == 200
        told = [predict(client) for _ in range(2)]
        assert [one["cached"] for one in told] == [False, True]
        assert {one["version"] for one in told} == {version}
    assert client.post("/v1/applications/pids/rollback", json={}).status_code == 200

    name = "leadsman_serving_route_last_answer_seconds"

    def of(series: str, kind: str) -> float:
        text = client.get("/metrics").text
        found = re.search(
            rf'^{name}_{series}\{{application="pids",kind="{kind}"\}} (\S+)$', text, re.M
        )
        return float(found[1]) if found else 0.0

    # Two changes and two first routes: the first of all replaced nothing.
    until(lambda: of("count", "change") == 4 and of("count", "rollback") == 1)
    # Nobody asked while the routes changed, so the switch itself is the last moment; a version
    # that has to start does so before it.
    assert 0 < of("sum", "rollback") < 1.0
    assert 0 < of("sum", "change") < 40.0


RAMP = [{"after_s": 0, "share": 0.0}, {"after_s": 4, "share": 0.5}, {"after_s": 8, "share": 1.0}]
CLEAR = 0.3
"""Seconds around a step in which an answer is held against neither share."""


def test_a_ramp_gives_the_challenger_more_and_more_and_goes_on_after_a_kill(
    start: Callable[..., ServingProcess],
) -> None:
    serving = start(2, SERVING_RETIRE_AFTER="600")
    canary = {"kind": "canary", "champion": "m:1", "challenger": "m:2", "ramp": RAMP}
    changed = serving.client.put(ROUTE, json={"policy": canary})
    assert changed.status_code == 200, changed.text
    began = datetime.fromisoformat(changed.json()["created_at"])

    def age(answer: dict[str, Any]) -> float:
        """Seconds from the revision to an answer."""
        return (datetime.fromisoformat(answer["predicted_at"]) - began).total_seconds()

    answers = [predict(serving.client)]
    while age(answers[-1]) < 9:
        answers.append(predict(serving.client))
    starts = [step["after_s"] for step in RAMP]
    for begins, ends, versions, propensities in (
        (starts[0], starts[1], {"1"}, {1.0}),
        (starts[1], starts[2], {"1", "2"}, {0.5}),
        (starts[2], 9, {"2"}, {1.0}),
    ):
        within = [one for one in answers if begins <= age(one) - CLEAR and age(one) + CLEAR <= ends]
        assert {one["version"] for one in within} == versions, (begins, len(within))
        traces = [serving.client.get(f"/v1/predictions/{one['id']}").json() for one in within[:9]]
        assert {one["propensity"] for one in traces} == propensities
    half = [one["version"] for one in answers if 4 + CLEAR <= age(one) <= 8 - CLEAR]
    # Of n fair choices fewer or more than that are on one side once in ten million times.
    assert abs(half.count("2") / len(half) - 0.5) < 2.7 / len(half) ** 0.5
    # The age is the revision's, not the process's.
    serving.kill()
    serving.start()
    assert {predict(serving.client)["version"] for _ in range(20)} == {"2"}


def test_replicas_are_added_limited_and_taken_away_while_requests_go_on(
    start: Callable[..., ServingProcess],
) -> None:
    serving = start(1)
    client = serving.client
    over, failed = threading.Event(), []

    def go_on() -> None:
        with serving.with_key(client.headers["Authorization"][7:]) as own:
            while not over.is_set():
                answer = own.post(PREDICT, json={"input": [1.0]})
                if answer.status_code != 200 or answer.json()["default"]:
                    failed.append(answer.text)

    caller = threading.Thread(target=go_on)
    caller.start()
    try:
        first = replica_pids(serving)
        assert client.put(REPLICAS, json={"count": 3}).status_code == 200
        until(lambda: len(replica_pids(serving)) == 3)
        several = replica_pids(serving)
        assert first < several
        until(lambda: {predict(client)["output"] for _ in range(10)} == several)
        # Other limits mean other processes, one after the other.
        limited = {"count": 2, "memory_mb": 1024, "cpu": 1.0}
        assert client.put(REPLICAS, json=limited).status_code == 200
        until(lambda: len(now := replica_pids(serving)) == 2 and not now & several)
        for pid in replica_pids(serving):
            assert psutil.Process(pid).rlimit(psutil.RLIMIT_DATA)[0] == 1024 * 2**20
            assert len(psutil.Process(pid).cpu_affinity() or ()) == 1
        assert client.put(REPLICAS, json={"count": 1}).status_code == 200
        until(lambda: len(replica_pids(serving)) == 1)
        assert predict(client)["output"] in replica_pids(serving)
    finally:
        over.set()
        caller.join()
    assert failed == []


def test_what_a_dead_process_had_not_shipped_another_ships(
    database: str, start: Callable[..., ServingProcess], tmp_path: Path
) -> None:
    serving = start(1, SERVING_WORKERS="2")
    ids: set[str] = set()
    answered_by: set[int] = set()

    async def lock_and_ask() -> None:
        connection = await asyncpg.connect(database)
        # Nothing more comes into the record until this transaction ends.
        async with connection.transaction():
            await connection.execute("LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE")
            for _ in range(40):
                with serving.with_key(serving.client.headers["Authorization"][7:]) as own:
                    ids.add((await asyncio.to_thread(predict, own))["id"])
            workers = serving.workers()
            answered_by.update(workers)
            for worker in workers.values():
                worker.kill()
            await asyncio.to_thread(serving.kill)
            for worker in workers.values():
                await asyncio.to_thread(worker.wait, 20)
        await connection.close()

    async def shipped() -> set[str]:
        connection = await asyncpg.connect(database)
        rows = await connection.fetch("SELECT id::text AS id FROM predictions")
        await connection.close()
        found = {row["id"] for row in rows}
        assert len(found) == len(rows)
        return found

    asyncio.run(lock_and_ask())
    assert answered_by == {1, 2}
    assert len(ids) == 40
    # Postgres ends what it was sent whole before the kill, a group of each process at most.
    assert ids - asyncio.run(shipped())
    # One process takes over the folder where two were.
    alone = ServingProcess(database, tmp_path)
    alone.start()
    try:
        until(lambda: ids <= asyncio.run(shipped()))
    finally:
        alone.stop()
        alone.client.close()
