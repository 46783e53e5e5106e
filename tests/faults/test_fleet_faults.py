"""Kills among several serving processes, and Postgres away: nothing lost, nobody hangs."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade
from tests.support.postgres import sqlalchemy_url
from tests.support.serving import ADMIN_KEY, ServingProcess, artefact, reference, register, single

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

APPLICATION = {"name": "fraud", "task": "binary", "latency_objective_ms": 5000}
ROUTE = "/v1/applications/fraud/route"
ROLLBACK = "/v1/applications/fraud/rollback"
PREDICT = "/v1/applications/fraud/predictions"
INPUT = {"input": [2.0, 0.0, 0.0]}


@pytest.fixture
def workers(database: str, tmp_path: Path) -> Iterator[ServingProcess]:
    """Two workers behind one port, with a route to m:1 and m:2 registered."""
    process = ServingProcess(database, tmp_path, SERVING_WORKERS="2", SERVING_DEPLOY_TIMEOUT="20")
    process.start()
    try:
        deployed(process.client)
        yield process
    finally:
        process.stop()
        process.client.close()


def deployed(client: httpx.Client) -> None:
    assert client.post("/v1/applications", json=APPLICATION).status_code == 201
    for version, inverted in (("1", False), ("2", True)):
        data, rows = artefact(inverted=inverted), reference(inverted=inverted)
        assert register(client, version, data, reference=rows).status_code == 201
    assert client.put(ROUTE, json=single("m:1")).status_code == 200


def slow(client: httpx.Client, folder: Path) -> None:
    """Register m:3, which takes its time to start."""
    folder.mkdir()
    (folder / "model.py").write_text(
        "import time\ntime.sleep(6)\ndef answer(rows):\n    return [1 for _ in rows]\n"
    )
    manifest = {"version": "3", "framework": "python", "entry": "model:answer"}
    made = client.post("/v1/models/m/versions", json={**manifest, "uri": str(folder)})
    assert made.status_code == 201, made.text


class Traffic:
    """Callers that take a new connection whenever theirs is lost."""

    def __init__(self, process: ServingProcess, callers: int = 4) -> None:
        self.answers: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.lost = 0
        self._process = process
        self._done = threading.Event()
        self._callers = [threading.Thread(target=self._call) for _ in range(callers)]

    def _call(self) -> None:
        while not self._done.is_set():
            try:
                with self._process.with_key(ADMIN_KEY) as client:
                    for _ in range(20):
                        answer = client.post(PREDICT, json=INPUT)
                        if answer.status_code != 200:
                            self.wrong.append(answer.text)
                            continue
                        self.answers.append(answer.json())
            except httpx.TransportError:
                self.lost += 1

    def __enter__(self) -> "Traffic":
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for caller in self._callers:
            caller.join()


def answering(workers: ServingProcess) -> set[int]:
    """Numbers of the workers that take connections."""
    found = set()
    for _ in range(12):
        with workers.with_key(ADMIN_KEY) as client:
            found.add(client.get("/readyz").json()["worker"])
    return found


def recorded(url: str) -> dict[str, int]:
    """How often each prediction is in the record, by id."""

    async def read() -> dict[str, int]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT id, count(*) FROM predictions GROUP BY id")
            return {str(row["id"]): row["count"] for row in rows}
        finally:
            await connection.close()

    return asyncio.run(read())


def wait_for(what: Any, within: float = 30.0) -> None:
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until, f"not within {within} s"
        time.sleep(0.05)


def test_a_killed_worker_loses_no_record_and_the_others_go_on(
    workers: ServingProcess, database: str
) -> None:
    with Traffic(workers) as traffic:
        for victim in (1, 2, 1):
            wait_for(lambda: answering(workers) == {1, 2})
            before = len(traffic.answers)
            workers.workers()[victim].send_signal(signal.SIGKILL)
            # The other one answers while the killed one is started again.
            wait_for(lambda count=before: len(traffic.answers) > count + 50)
        wait_for(lambda: len(workers.workers()) == 2)
        time.sleep(1.0)
    assert not traffic.wrong, traffic.wrong[0]
    # Only what was being answered by the killed one was lost, to be asked again.
    assert traffic.lost <= 3 * 4
    assert not any(one["default"] for one in traffic.answers)
    wait_for(lambda: len(recorded(database)) >= len(traffic.answers))
    record = recorded(database)
    assert {one["id"] for one in traffic.answers} <= set(record)
    assert set(record.values()) == {1}


def test_a_change_goes_on_without_a_process_that_dies_during_it(
    workers: ServingProcess, tmp_path: Path
) -> None:
    slow(workers.client, tmp_path / "slow")
    changed: list[httpx.Response | Exception] = []
    # The change is asked on a connection of its own; which worker has it is seen by its lock.
    victim = workers.workers()[2]

    def change() -> None:
        try:
            with workers.with_key(ADMIN_KEY) as client:
                changed.append(client.put(ROUTE, json=single("m:3")))
        except httpx.TransportError as error:
            changed.append(error)

    caller = threading.Thread(target=change)
    caller.start()
    time.sleep(2.0)
    victim.send_signal(signal.SIGKILL)
    caller.join(40)
    assert not caller.is_alive()
    outcome = changed[0]
    with workers.with_key(ADMIN_KEY) as client:
        route = client.get(ROUTE).json()
        if isinstance(outcome, httpx.Response):
            # The other process was killed: nobody waited for it.
            assert outcome.status_code == 200, outcome.text
            assert route["revision"] == 2
        else:
            # The one that asked was killed: the old route stands, and another change is free.
            assert route["revision"] == 1
            assert client.post(PREDICT, json=INPUT).json()["version"] == "1"
        assert client.put(ROUTE, json=single("m:2")).status_code == 200
    wait_for(lambda: answering(workers) == {1, 2})
    seen = set()
    for _ in range(20):
        with workers.with_key(ADMIN_KEY) as client:
            seen.add(client.post(PREDICT, json=INPUT).json()["version"])
    assert seen == {"2"}


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[tuple[EmbeddedPostgres, str]]:
    server = EmbeddedPostgres(tmp_path / "postgres")
    url = server.start()
    asyncio.run(upgrade(sqlalchemy_url(url)))
    yield server, url
    server.stop()


def test_a_process_started_without_postgres_serves_what_it_knew_last(
    postgres: tuple[EmbeddedPostgres, str], tmp_path: Path
) -> None:
    server, url = postgres
    serving = ServingProcess(url, tmp_path / "serving")
    serving.start()
    try:
        deployed(serving.client)
        made = serving.client.post("/v1/keys", json={"name": "app", "scopes": ["predict"]}).json()
        known = tmp_path / "serving" / "data" / "registry.json"
        wait_for(lambda: known.exists() and b'"m:1"' in known.read_bytes())
        time.sleep(0.5)
        serving.kill()
        server.stop()

        serving.start()
        ready = serving.client.get("/readyz").json()
        assert ready["status"] == "ready"
        assert any("from the local copy" in one for one in ready["degraded"]), ready
        assert ready["checks"]["database"] == "does not answer"
        with serving.with_key(made["key"]) as caller:
            answers = [caller.post(PREDICT, json=INPUT).json() for _ in range(20)]
        assert {(one["version"], one["default"]) for one in answers} == {("1", False)}
        refused = serving.client.put(ROUTE, json=single("m:2"))
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")

        assert server.start() == url
        wait_for(lambda: not serving.client.get("/readyz").json()["degraded"])
        wait_for(lambda: len(recorded(url)) == 20)
        assert set(recorded(url)) == {one["id"] for one in answers}
        assert serving.client.put(ROUTE, json=single("m:2")).status_code == 200
    finally:
        serving.stop()
        serving.client.close()


def test_postgres_cut_during_a_change_leaves_the_old_route(
    postgres: tuple[EmbeddedPostgres, str], tmp_path: Path
) -> None:
    server, url = postgres
    serving = ServingProcess(
        url, tmp_path / "serving", SERVING_WORKERS="2", SERVING_DEPLOY_TIMEOUT="20"
    )
    serving.start()
    try:
        deployed(serving.client)
        slow(serving.client, tmp_path / "slow")
        answers: list[httpx.Response] = []

        def change() -> None:
            with serving.with_key(ADMIN_KEY) as client:
                answers.append(client.put(ROUTE, json=single("m:3")))

        caller = threading.Thread(target=change)
        caller.start()
        time.sleep(2.0)
        server.stop()
        caller.join(40)
        assert not caller.is_alive()
        assert (answers[0].status_code, answers[0].json()["code"]) == (503, "database_unavailable")
        with serving.with_key(ADMIN_KEY) as client:
            assert client.post(PREDICT, json=INPUT).json()["version"] == "1"

        assert server.start() == url
        wait_for(lambda: serving.client.get("/readyz").json()["checks"]["database"] == "ok")
        wait_for(lambda: serving.client.put(ROUTE, json=single("m:2")).status_code == 200)
        assert serving.client.get(ROUTE).json()["revision"] == 2
        for _ in range(10):
            with serving.with_key(ADMIN_KEY) as client:
                assert client.post(PREDICT, json=INPUT).json()["version"] == "2"
    finally:
        serving.stop()
        serving.client.close()


OWN_POLICY = """
from serving.policies.base import Choice


class Fixed:
    def __init__(self, version):
        self.version = version

    def choose(self, context, uniform):
        return Choice(self.version)

    def versions(self):
        return (self.version,)
"""


def test_a_route_whose_package_is_missing_is_said_and_read_once_it_is_there(
    database: str, tmp_path: Path
) -> None:
    package = tmp_path / "own" / "shop_policies.py"
    package.parent.mkdir()
    package.write_text(OWN_POLICY)
    serving = ServingProcess(database, tmp_path / "serving", PYTHONPATH=str(package.parent))
    serving.start()
    try:
        deployed(serving.client)
        other = APPLICATION | {"name": "other"}
        assert serving.client.post("/v1/applications", json=other).status_code == 201
        assert serving.client.put("/v1/applications/other/route", json=single("m:2")).is_success
        own = {"kind": "custom", "class": "shop_policies:Fixed", "version": "m:2"}
        assert serving.client.put(ROUTE, json={"policy": own}).status_code == 200
        serving.stop()

        package.rename(package.with_suffix(".away"))
        serving.start()
        [degraded] = serving.client.get("/readyz").json()["degraded"]
        assert degraded.startswith("route of fraud: /policy/class"), degraded
        answer = serving.client.post(PREDICT, json=INPUT)
        # Another process may have the package: whoever asks may ask again.
        assert (answer.status_code, answer.json()["code"]) == (503, "starting")
        assert answer.headers["Retry-After"]
        unhurt = serving.client.post("/v1/applications/other/predictions", json=INPUT)
        assert unhurt.json()["version"] == "2"

        package.with_suffix(".away").rename(package)
        wait_for(lambda: not serving.client.get("/readyz").json()["degraded"])
        wait_for(lambda: serving.client.post(PREDICT, json=INPUT).json()["default"] is False)
        assert serving.client.post(PREDICT, json=INPUT).json()["version"] == "2"
        assert serving.log().count("route_not_read application=fraud") == 1
    finally:
        serving.stop()
        serving.client.close()
