"""A route change whose processes, or whose Postgres, are killed at any point of it."""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade
from tests.support.postgres import sqlalchemy_url
from tests.support.serving import ADMIN_KEY, ServingProcess, single

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

APPLICATION = {
    "name": "fraud",
    "task": "binary",
    "latency_objective_ms": 5000,
    "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
}
ROUTE = "/v1/applications/fraud/route"
PREDICT = "/v1/applications/fraud/predictions"
INPUT = {"input": [2.0]}


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[tuple[EmbeddedPostgres, str]]:
    server = EmbeddedPostgres(tmp_path / "postgres")
    url = server.start()
    asyncio.run(upgrade(sqlalchemy_url(url)))
    yield server, url
    server.stop()


@pytest.fixture
def pair(postgres: tuple[EmbeddedPostgres, str], tmp_path: Path) -> Iterator[list[ServingProcess]]:
    """Two processes on ports of their own, by the route to m:1; m:2 contradicts it."""
    made = [
        ServingProcess(
            postgres[1],
            tmp_path / name,
            SERVING_DEPLOY_TIMEOUT="60",
            SERVING_ARTEFACT_DIR=str(tmp_path / "artefacts"),
            SERVING_RETIRE_AFTER="600",
        )
        for name in ("one", "two")
    ]
    with ExitStack() as stack:
        for process in made:
            process.start()
            stack.callback(process.client.close)
            stack.callback(process.stop)
        client = made[0].client
        assert client.post("/v1/applications", json=APPLICATION).status_code == 201
        for version, output in (("1", 1), ("2", 0)):
            package = tmp_path / f"model-{version}"
            package.mkdir()
            code = f"def answer(rows):\n    return [{output}] * len(rows)\n"
            (package / "model.py").write_text(code)
            manifest = {"version": version, "framework": "python", "entry": "model:answer"}
            stated = {**manifest, "uri": str(package)}
            assert client.post("/v1/models/m/versions", json=stated).status_code == 201
        made_route = client.put(ROUTE, json=single("m:1"))
        assert made_route.status_code == 200, made_route.text
        yield made


class Asking:
    """Somebody who asks one process for the change and may never hear of it."""

    def __init__(self, process: ServingProcess, version: str) -> None:
        self.outcome: httpx.Response | Exception | None = None
        self._process = process
        self._version = version
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            with self._process.with_key(ADMIN_KEY) as client:
                self.outcome = client.put(ROUTE, json=single(self._version))
        except httpx.TransportError as error:
            self.outcome = error

    def over(self) -> httpx.Response | Exception:
        """How it ended."""
        self._thread.join(100)
        assert self.outcome is not None, "the request hangs"
        return self.outcome


def fetch(url: str, query: str) -> list[asyncpg.Record]:
    async def read() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(read())


def newest(url: str) -> tuple[int, str]:
    """The revision in force and its version, as Postgres has it."""
    row = fetch(url, "SELECT revision, policy FROM revisions ORDER BY revision DESC LIMIT 1")[0]
    return row["revision"], "1" if '"m:1"' in row["policy"] else "2"


def wait_for(what: Any, within: float = 30.0) -> None:
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until, f"not within {within} s"
        time.sleep(0.02)


def agreed(pair: list[ServingProcess], url: str) -> int:
    """Wait until both answer by what Postgres has; the revision."""
    revision, version = newest(url)

    def all_do() -> bool:
        answers = [process.client.post(PREDICT, json=INPUT).json() for process in pair]
        told = pair[0].client.get(ROUTE).json().get("processes", [])
        return (
            {(one["revision"], one["version"]) for one in answers} == {(revision, version)}
            and {one["revision"] for one in told if one["living"]} == {revision}
            and sum(one["living"] for one in told) == len(pair)
        )

    wait_for(all_do)
    return revision


@contextmanager
def held_before_the_commit(url: str) -> Iterator[None]:
    """Hold the application's row: a change comes as far as its last transaction, and waits there.

    It is then prepared everywhere, and nothing of it is committed.
    """
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    held = connection.transaction()
    loop.run_until_complete(held.start())
    # What only refers to the row, as an announcement does, goes on.
    loop.run_until_complete(connection.execute("SELECT 1 FROM applications FOR NO KEY UPDATE"))
    try:
        yield
    finally:
        connection.terminate()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


_WAITING = """
    SELECT count(*) AS n FROM pg_stat_activity
     WHERE wait_event_type = 'Lock' AND query ILIKE '%applications%FOR UPDATE%'
"""


def wait_until_prepared(url: str) -> None:
    """Until the change waits for the row that is held: all have said that they are ready."""
    wait_for(lambda: fetch(url, _WAITING)[0]["n"] == 1)


def test_who_asked_is_killed_when_all_are_ready_and_nothing_is_committed(
    pair: list[ServingProcess], postgres: tuple[EmbeddedPostgres, str]
) -> None:
    one, two = pair
    url = postgres[1]
    with held_before_the_commit(url):
        asking = Asking(one, "m:2")
        wait_until_prepared(url)
        one.kill()
        assert isinstance(asking.over(), httpx.TransportError)
        assert two.client.post(PREDICT, json=INPUT).json()["version"] == "1"
    one.start()
    assert agreed(pair, url) == 1
    # What the dead one announced binds nobody.
    assert two.client.put(ROUTE, json=single("m:2")).status_code == 200
    assert agreed(pair, url) == 2


def test_who_is_asked_is_killed_when_all_are_ready(
    pair: list[ServingProcess], postgres: tuple[EmbeddedPostgres, str]
) -> None:
    one, two = pair
    url = postgres[1]
    with held_before_the_commit(url):
        asking = Asking(one, "m:2")
        wait_until_prepared(url)
        two.kill()
    changed = asking.over()
    assert isinstance(changed, httpx.Response)
    assert changed.status_code == 200, changed.text
    assert one.client.post(PREDICT, json=INPUT).json()["version"] == "2"
    two.start()
    assert agreed(pair, url) == 2


def test_who_asked_is_killed_between_the_commit_and_the_others_switch(
    pair: list[ServingProcess], postgres: tuple[EmbeddedPostgres, str]
) -> None:
    one, two = pair
    url = postgres[1]
    still = psutil.Process(two.pid)
    with held_before_the_commit(url):
        asking = Asking(one, "m:2")
        wait_until_prepared(url)
        still.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: newest(url)[0] == 2)
        one.kill()
        asking.over()
    finally:
        still.send_signal(signal.SIGCONT)
    # What is committed is in force, though nobody is left who asked for it.
    wait_for(lambda: two.client.post(PREDICT, json=INPUT).json()["version"] == "2")
    one.start()
    assert agreed(pair, url) == 2


def test_postgres_is_killed_when_all_are_ready(
    pair: list[ServingProcess], postgres: tuple[EmbeddedPostgres, str]
) -> None:
    server, url = postgres
    with held_before_the_commit(url):
        asking = Asking(pair[0], "m:2")
        wait_until_prepared(url)
        kill(server)
    answer = asking.over()
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    for process in pair:
        assert process.client.post(PREDICT, json=INPUT).json()["version"] == "1"
    assert server.start() == url
    assert agreed(pair, url) == 1
    wait_for(lambda: pair[1].client.put(ROUTE, json=single("m:2")).status_code == 200)
    assert agreed(pair, url) == 2


def kill(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    psutil.Process(server.pid).kill()
    wait_for(lambda: server.poll() is not None)


def test_kills_at_any_moment_of_changes_leave_one_of_the_two_routes_everywhere(
    pair: list[ServingProcess], postgres: tuple[EmbeddedPostgres, str]
) -> None:
    server, url = postgres
    # The moments differ from run to run: a change takes 20 to 200 ms, as the machine goes.
    rng = random.Random()
    wrong: list[str] = []
    done = threading.Event()

    def ask(process: ServingProcess) -> None:
        """Whoever lives answers by one of the two routes, never by none."""
        while not done.is_set():
            try:
                with process.with_key(ADMIN_KEY) as client:
                    while not done.wait(0.02):
                        answer = client.post(PREDICT, json=INPUT)
                        if answer.status_code == 503 and answer.json()["code"] == "starting":
                            continue
                        body = answer.json()
                        said = (answer.status_code, body.get("version"), body.get("output"))
                        if said not in ((200, "1", 1), (200, "2", 0)):
                            wrong.append(answer.text)
            except httpx.TransportError:
                # Killed just now, and to be started again.
                time.sleep(0.1)

    callers = [threading.Thread(target=ask, args=(process,)) for process in pair]
    for caller in callers:
        caller.start()
    try:
        before = 1
        for turn, victim in enumerate(("one", "postgres", "both", "two")):
            other = "m:1" if newest(url)[1] == "2" else "m:2"
            asking = Asking(pair[0], other)
            time.sleep(rng.uniform(0.0, 0.1))
            if victim in ("postgres", "both"):
                kill(server)
            if victim in ("one", "both"):
                pair[0].kill()
            if victim == "two":
                pair[1].kill()
            outcome = asking.over()
            if victim in ("postgres", "both"):
                assert server.start() == url
            if victim in ("one", "both"):
                pair[0].start()
            if victim == "two":
                pair[1].start()
            after = agreed(pair, url)
            assert after in (before, before + 1), f"turn {turn}, {victim}"
            if isinstance(outcome, httpx.Response) and outcome.status_code == 200:
                # Who was told that it is changed is right.
                assert after == before + 1
            before = after
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert not wrong, wrong[0]
