"""What stays warm and on the disk, and for how long."""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from serving.artefacts import WANTED_LATELY, ArtefactStore
from serving.retention import removable
from tests.support.postgres import execute, sqlalchemy_url
from tests.support.serving import ServingProcess, artefact, reference, register, single

APPLICATION = {"name": "fraud", "task": "binary", "latency_objective_ms": 5000}
ROUTE = "/v1/applications/fraud/route"


@pytest.fixture
def serving(database: str, tmp_path: Path) -> Iterator[ServingProcess]:
    process = ServingProcess(database, tmp_path, SERVING_RETIRE_AFTER="2")
    process.start()
    client = process.client
    assert client.post("/v1/applications", json=APPLICATION).status_code == 201
    for version, inverted in (("1", False), ("2", True), ("3", False)):
        # Versions whose bytes differ: the third is the first with another comment.
        data = artefact(inverted=inverted, comment=version)
        made = register(client, version, data, reference=reference(inverted=inverted))
        assert made.status_code == 201, made.text
    try:
        yield process
    finally:
        process.stop()
        client.close()


def states(serving: ServingProcess) -> dict[str, str | None]:
    return {
        version: serving.client.get(f"/v1/models/m/versions/{version}/replicas").json()["state"]
        for version in ("1", "2", "3")
    }


def test_a_version_that_nothing_needs_is_retired_after_its_time(serving: ServingProcess) -> None:
    for version in ("1", "2", "3"):
        assert serving.client.put(ROUTE, json=single(f"m:{version}")).status_code == 200
    # In force, warm for a rollback, and not needed but within its time.
    assert states(serving) == {"1": "ready", "2": "ready", "3": "ready"}
    until = time.monotonic() + 15
    while states(serving)["1"] is not None:
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(2.5)
    assert states(serving) == {"1": None, "2": "ready", "3": "ready"}


def test_a_probe_that_is_given_is_what_a_version_must_answer(serving: ServingProcess) -> None:
    client = serving.client
    wrong = client.put(ROUTE, json={**single("m:1"), "probe": {"a": 1.0, "b": "x", "c": 0.0}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
    assert wrong.json()["errors"][0]["path"] == "/probe/b"
    right = client.put(ROUTE, json={**single("m:1"), "probe": [1.0, 2.0, 3.0]})
    assert right.status_code == 200, right.text
    assert right.json()["decided_at"] < right.json()["created_at"]


def test_replica_counts_are_kept_and_told(serving: ServingProcess) -> None:
    place = "/v1/models/m/versions/1/replicas"
    assert serving.client.get(place).json()["count"] == 1
    body = {"count": 2, "cpu": 0.5, "memory_mb": 1024}
    said = serving.client.put(place, json=body)
    assert said.status_code == 200, said.text
    assert {name: said.json()[name] for name in body} == body
    serving.kill()
    serving.start()
    assert {name: serving.client.get(place).json()[name] for name in body} == body
    assert serving.client.put(place, json={"count": 0}).status_code == 422
    assert serving.client.get("/v1/models/m/versions/9/replicas").status_code == 404


def test_an_artefact_stays_as_long_as_a_revision_within_the_retention_names_it(
    serving: ServingProcess, database: str, tmp_path: Path
) -> None:
    for version in ("1", "2", "3"):
        assert serving.client.put(ROUTE, json=single(f"m:{version}")).status_code == 200
    assert serving.client.delete("/v1/models/m/versions/1").status_code == 204

    async def ask(days: int) -> list[str]:
        engine = create_async_engine(sqlalchemy_url(database))
        try:
            async with engine.connect() as connection:
                return await removable(connection, timedelta(days=days))
        finally:
            await engine.dispose()

    async def name() -> str:
        connection = await asyncpg.connect(database)
        try:
            found: str = await connection.fetchval("SELECT artefact FROM versions WHERE id = 1")
            return found
        finally:
            await connection.close()

    assert asyncio.run(ask(30)) == []
    # Deleted long ago, and in force until yesterday.
    ago = "SET created_at = now() - interval"
    execute(
        database,
        "UPDATE versions SET deleted_at = now() - interval '50 days' WHERE id = 1",
        f"UPDATE revisions {ago} '60 days' WHERE revision = 1",
        f"UPDATE revisions {ago} '1 day' WHERE revision = 2",
    )
    assert asyncio.run(ask(30)) == []
    execute(database, f"UPDATE revisions {ago} '40 days' WHERE revision = 2")
    kept = asyncio.run(name())
    assert asyncio.run(ask(30)) == [kept]
    assert asyncio.run(ask(55)) == []
    store = ArtefactStore(tmp_path / "data" / "artefacts", limit=10**6)
    path = tmp_path / "data" / "artefacts" / kept
    assert not store.remove(kept)  # it came within the hour
    os.utime(path, (time.time() - 2 * WANTED_LATELY,) * 2)
    assert store.remove(kept)
    assert not path.exists()
