"""Bandits over real processes and a real Postgres: what feedback taught is kept and shared."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from serving.inference import FLAG_PINNED, Inference
from serving.journal import Journal
from serving.learning import Learning
from tests.support.serving import ADMIN_KEY, ServingProcess, artefact, reference, register
from tests.support.shipped import (
    SHADOW,
    START,
    Feedback,
    Prediction,
    prediction_id,
    set_up_application,
    ship,
)

pytestmark = pytest.mark.timeout(240)

APPLICATION = {
    "name": "fraud",
    "task": "binary",
    "default_output": 0,
    "latency_objective_ms": 5000,
}
ROUTE = "/v1/applications/fraud/route"
PREDICT = "/v1/applications/fraud/predictions"
ARMS = ["m:1", "m:2"]


@pytest.fixture
def pair(database: str, tmp_path: Path) -> Iterator[list[ServingProcess]]:
    """Two processes on ports of their own."""
    made = [
        ServingProcess(
            database,
            tmp_path / name,
            SERVING_DEPLOY_TIMEOUT="30",
            SERVING_ARTEFACT_DIR=str(tmp_path / "artefacts"),
        )
        for name in ("one", "two")
    ]
    with ExitStack() as stack:
        for process in made:
            process.start()
            stack.callback(process.client.close)
            stack.callback(process.stop)
        yield made


def predict(client: httpx.Client, region: str) -> dict[str, Any]:
    body = {"input": [2.0, 0.0, 0.0], "context": {"region": region, "other": 1}}
    answer = client.post(PREDICT, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def propensity(client: httpx.Client, region: str) -> dict[str, float]:
    """Probabilities by version, as answers are recorded with them now.

    Each one is read from an answer of that version itself. The record keeps single precision, so
    1 minus the propensity of the other one differs in the ninth digit.
    """
    found: dict[str, float] = {}
    while len(found) < len(ARMS):
        answer = predict(client, region)
        if answer["version"] not in found:
            trace = client.get(f"/v1/predictions/{answer['id']}").json()
            found[answer["version"]] = trace["propensity"]
    return found


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_what_feedback_taught_is_kept_over_a_crash_and_shared(
    database: str, pair: list[ServingProcess]
) -> None:
    one, two = (process.client for process in pair)
    assert one.post("/v1/applications", json=APPLICATION).status_code == 201
    for version, inverted in (("1", False), ("2", True)):
        data, rows = artefact(inverted=inverted), reference(inverted=inverted)
        assert register(one, version, data, reference=rows).status_code == 201
    policy = {"kind": "thompson", "arms": ARMS, "floor": 0.05, "state_by": "region"}
    changed = one.put(ROUTE, json={"policy": policy})
    assert changed.status_code == 200, changed.text
    assert propensity(one, "EU")["1"] == pytest.approx(0.5)

    # The truth is 1 in the one region and 0 in the other: each version is right in one of them.
    reports = []
    for place in range(60):
        region, label = (("EU", 1), ("US", 0))[place % 2]
        answer = predict((one, two)[place % 3 == 0], region)
        reports.append({"prediction_id": answer["id"], "label": label})
    answer = one.post("/v1/feedback", json={"feedback": reports}).json()
    assert answer["accepted"] == 60
    for client in (one, two):
        until(lambda client=client: propensity(client, "EU")["1"] > 0.9)  # type: ignore[misc]  # bound
        until(lambda client=client: propensity(client, "US")["1"] < 0.1)  # type: ignore[misc]  # now
    # Every process draws by the same numbers, to the last bit that the record keeps.
    until(lambda: propensity(one, "EU") == propensity(two, "EU"))
    assert propensity(one, "US") == propensity(two, "US")
    known = propensity(one, "EU")
    # A region that nobody reported on begins anew.
    assert propensity(one, "ASIA")["1"] == pytest.approx(0.5)

    # A report that is repeated, or corrected, counts no more.
    again = [{**report, "label": 1 - report["label"]} for report in reports[:20]]
    assert two.post("/v1/feedback", json={"feedback": again}).json()["corrected"] == 20
    assert two.post("/v1/feedback", json={"feedback": reports[20:]}).json()["duplicates"] == 40
    pair[0].kill()
    pair[0].start()
    time.sleep(3)
    until(lambda: propensity(one, "EU") == known)
    assert propensity(two, "EU") == known
    # Nobody is left who could tell the others: what was learned lives in Postgres.
    for process in pair:
        process.kill()
    for process in pair:
        process.start()
    for client in (one, two):
        until(lambda client=client: propensity(client, "EU") == known)  # type: ignore[misc]  # now
    counts = asyncio.run(_fetch(database, "SELECT sum(count) AS n FROM policy_statistics"))
    assert counts[0]["n"] == 60


def both(workers: ServingProcess) -> dict[int, httpx.Client]:
    """A client for each of two workers; which one a connection reaches is chance."""
    found: dict[int, httpx.Client] = {}
    deadline = time.monotonic() + 60
    while len(found) < 2:
        assert time.monotonic() < deadline, "one worker takes no connections"
        client = workers.with_key(ADMIN_KEY)
        worker = client.get("/readyz").json()["worker"]
        if worker in found:
            client.close()
        else:
            found[worker] = client
    return found


@pytest.mark.parametrize("kind", ["thompson", "exp3"])
def test_workers_behind_one_port_learn_together_also_after_a_kill(
    database: str, tmp_path: Path, kind: str
) -> None:
    workers = ServingProcess(database, tmp_path, SERVING_WORKERS="2", SERVING_DEPLOY_TIMEOUT="60")
    workers.start()
    try:
        clients = both(workers)
        names = ("a", "b", "c")
        schema = {"properties": {name: {"type": "number"} for name in names}}
        made = APPLICATION | {"input_schema": schema}
        assert workers.client.post("/v1/applications", json=made).status_code == 201
        for version, output in (("1", 1), ("2", 0)):
            package = tmp_path / f"model-{version}"
            package.mkdir()
            code = f"def answer(rows):\n    return [{output}] * len(rows)\n"
            (package / "model.py").write_text(code)
            manifest = {"version": version, "framework": "python", "entry": "model:answer"}
            stated = {**manifest, "uri": str(package)}
            assert workers.client.post("/v1/models/m/versions", json=stated).status_code == 201
        policy = {"kind": kind, "arms": ARMS, "floor": 0.05, "state_by": "region"}
        assert workers.client.put(ROUTE, json={"policy": policy}).status_code == 200

        def teach(count: int) -> None:
            """Both workers answer and both are told, each also of the other's answers."""
            told: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
            for place in range(count):
                region, label = (("EU", 1), ("US", 0))[place % 2]
                answer = predict(clients[1 + place // 2 % 2], region)
                told[1 + place % 2].append({"prediction_id": answer["id"], "label": label})
            for worker, reports in told.items():
                answer = clients[worker].post("/v1/feedback", json={"feedback": reports}).json()
                assert answer["accepted"] == len(reports), answer

        def agree(counted: int) -> dict[str, float]:
            """Wait until all feedback is learned and both go by it; the weights of both regions."""
            rows = "SELECT coalesce(sum(count), 0) AS n FROM policy_statistics"
            until(lambda: asyncio.run(_fetch(database, rows))[0]["n"] == counted)
            seen: dict[int, dict[str, float]] = {}

            def same() -> bool:
                for worker, client in clients.items():
                    seen[worker] = {
                        region: propensity(client, region)["1"] for region in ("EU", "US", "ASIA")
                    }
                return seen[1] == seen[2] and seen[1]["EU"] != seen[1]["US"]

            until(same)
            return seen[1]

        teach(60)
        first = agree(60)
        assert first["EU"] > 0.6
        assert first["US"] < 0.4
        assert first["ASIA"] == pytest.approx(0.5)
        # One is killed and comes again: it goes by what both were taught, and both learn on.
        clients[1].close()
        clients[2].close()
        workers.workers()[1].send_signal(signal.SIGKILL)
        clients = both(workers)
        assert agree(60) == first
        teach(40)
        second = agree(100)
        # Exp3 may lean less on what it knows with more labels: its rate falls with their number.
        assert second["EU"] > 0.6
        assert second["US"] < 0.4
        for client in clients.values():
            client.close()
    finally:
        workers.stop()
        workers.client.close()


async def _fetch(database: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


EXP3 = {"kind": "exp3", "arms": ["price:1", "price:2"]}
EXP4 = {"kind": "exp4", "arms": ["price:1", "price:2"]}


async def _learn(connection: asyncpg.Connection, folder: Path) -> None:
    """Learn all that there is, by a process that began just now."""
    journal = Journal(folder / f"{random.getrandbits(32)}.db", 2**20)
    learning = Learning("", Inference(journal), poll=1)
    while await learning.learn(connection):
        pass
    journal.close()


async def _sums(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(
        "SELECT version_id, count, loss, weighted_loss FROM policy_statistics ORDER BY 1"
    )
    return [tuple(row) for row in rows]


def at(second: int) -> Any:
    return START + timedelta(seconds=second)


def test_each_answer_counts_once_whenever_it_and_its_label_come(
    database: str, tmp_path: Path
) -> None:
    async def run() -> None:
        rng = random.Random(7)
        ids = [prediction_id(at(n), rng) for n in range(8)]
        connection = await asyncpg.connect(database)
        await set_up_application(connection, policies=[EXP3])
        rows = [Prediction(ids[n], at(n), 1 + n % 2, output=1) for n in range(6)]
        # A label before its answer, one with it, one long after it, repetitions, a correction, one
        # of an answer whose version the client named.
        await ship(connection, rows[:2], [Feedback(ids[2], at(3), 0), Feedback(ids[0], at(3), 1)])
        await _learn(connection, tmp_path)
        assert await _sums(connection) == [(1, 1, 0.0, 0.0)]
        await ship(connection, rows[2:4], [Feedback(ids[0], at(4), 0), Feedback(ids[1], at(4), 0)])
        await _learn(connection, tmp_path)
        pinned = Prediction(ids[6], at(6), 1, output=1, flags=FLAG_PINNED)
        await ship(connection, [pinned], [Feedback(ids[6], at(6), 0), Feedback(ids[2], at(6), 0)])
        await ship(connection, rows[4:], [Feedback(ids[3], at(9000), 1)])
        await _learn(connection, tmp_path)
        await _learn(connection, tmp_path)
        assert await _sums(connection) == [(1, 2, 1.0, 1.0), (2, 2, 1.0, 1.0)]
        await connection.close()

    asyncio.run(run())


def test_where_all_are_asked_each_ones_own_answer_counts(database: str, tmp_path: Path) -> None:
    async def run() -> None:
        rng = random.Random(8)
        ids = [prediction_id(at(n), rng) for n in range(2)]
        connection = await asyncpg.connect(database)
        await set_up_application(connection, policies=[EXP4])
        beside = timedelta(microseconds=1)
        common = [Prediction(one, at(n), 1, output=0) for n, one in enumerate(ids)]
        own = [Prediction(one, at(n) + beside, 1, 1, SHADOW) for n, one in enumerate(ids)]
        other = [Prediction(one, at(n), 2, 0, SHADOW) for n, one in enumerate(ids)]
        await ship(connection, [*common, *own], [Feedback(one, at(3), 0) for one in ids])
        # A member whose answer is shipped late counts when it comes.
        await ship(connection, other)
        await _learn(connection, tmp_path)
        assert await _sums(connection) == [(1, 2, 2.0, 2.0), (2, 2, 0.0, 0.0)]
        await connection.close()

    asyncio.run(run())


def test_a_turn_that_is_undone_counts_nothing_and_two_at_once_count_once(
    database: str, tmp_path: Path
) -> None:
    async def run() -> None:
        rng = random.Random(9)
        ids = [prediction_id(at(n), rng) for n in range(50)]
        one, two = await asyncpg.connect(database), await asyncpg.connect(database)
        await set_up_application(one, policies=[EXP3])
        for n, name in enumerate(ids):
            await ship(one, [Prediction(name, at(n), 1, output=1)], [Feedback(name, at(n), 0)])
        # A process that is killed before its commit leaves nothing.
        transaction = one.transaction()
        await transaction.start()
        await _learn(one, tmp_path)
        assert await _sums(one) == [(1, 50, 50.0, 50.0)]
        # Another passes by meanwhile, instead of waiting or of counting the same.
        await _learn(two, tmp_path)
        assert await _sums(two) == []
        await transaction.rollback()
        await asyncio.gather(_learn(one, tmp_path), _learn(two, tmp_path))
        await _learn(two, tmp_path)
        assert await _sums(two) == [(1, 50, 50.0, 50.0)]
        await one.close()
        await two.close()

    asyncio.run(run())


def test_what_came_before_any_policy_learned_is_passed_over(database: str, tmp_path: Path) -> None:
    async def run() -> None:
        rng = random.Random(10)
        connection = await asyncpg.connect(database)
        await set_up_application(connection)
        name = prediction_id(at(1), rng)
        await ship(connection, [Prediction(name, at(1), 1)], [Feedback(name, at(1))])
        await _learn(connection, tmp_path)
        row = await connection.fetchrow("SELECT xact_id, shipment, turn FROM policy_cursor")
        assert row is not None
        assert (row["xact_id"] > 0, row["shipment"] > 0, row["turn"]) == (True, True, 0)
        await connection.close()

    asyncio.run(run())
