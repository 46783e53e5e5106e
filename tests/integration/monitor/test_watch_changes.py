"""One watch changed over REST: refused where it would break a promise, and never half."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest

from monitor.loop import turn_once
from monitor.settings import Settings
from monitor.store import watches as store
from monitor.store.database import connect
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import bad_release, lay, rows_of, settings_for
from tests.support.shipping import until

FEATURES = '["load"]'
WATCHES = "/v1/applications/market/watches"


async def prepare(settings: Settings) -> None:
    await lay(settings.database_url, bad_release(shipments=4))
    await rows_of(
        settings.database_url, "UPDATE input_schemas SET features = $1 RETURNING 1", FEATURES
    )
    engine = connect(settings.database_url)
    try:
        await turn_once(engine, settings.model_copy(update={"turn_rows": 1}))
    finally:
        await engine.dispose()


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    settings = settings_for(database)
    asyncio.run(prepare(settings))
    with monitor_api(settings) as made:
        yield made


def watches(client: httpx.Client) -> dict[str, Any]:
    return {one["name"]: one for one in client.get("/v1/watches").json()}


async def until_wait(database: str, requests: int) -> None:
    """Until so many wait for a lock."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )

    async def wait() -> bool:
        return len(await rows_of(database, waiting)) >= requests

    await until(wait, 90)


SEGMENTED = {"segments": {"by": "feature.load", "edges": [1.0, float("inf")]}}
MISSPELT = {"segments": {"by": "feature.laod"}}
UNFIT: list[tuple[str, dict[str, Any], str]] = [
    # A detector without a guarantee may not act, whichever way it is asked to.
    ("loss_adwin", {"tier": "rollback"}, "tier"),
    ("loss_adwin", {"remedy": "roll_back"}, "remedy"),
    ("loss", {"settings": {"delta": 0.1}}, "settings/delta"),
    ("loss", {"settings": {"metric": "os:system"}}, "settings/metric"),
    ("loss", {"settings": {"unit": "context.user", "block": 9}}, "settings/block"),
    # What no moment, no row number and no JSON can hold would stop the monitor, not this watch.
    ("loss", {"settings": {"clip": float("inf")}}, "settings/clip"),
    ("loss", {"settings": {"mature_after": 1e300}}, "settings/mature_after"),
    ("loss", {"settings": {"block": 10**20}}, "settings/block"),
    ("loss", {"settings": {"learn": 10**20}}, "settings/learn"),
    ("loss", {"settings": {"gap": 10**20}}, "settings/gap"),
    ("loss", {"settings": {"unit": "context.a\0b"}}, "settings/unit"),
    ("loss", {"settings": MISSPELT}, "settings/segments/by"),
    ("features", {"settings": SEGMENTED}, "settings/segments/edges/1"),
    ("label_coverage", {"settings": {"horizon": 1e200}}, "settings/horizon"),
    ("traffic", {"settings": {"quiet_after": float("inf")}}, "settings/quiet_after"),
    ("loss", {"remedy": {"kind": "retrain", "webhook": 2**40}}, "remedy"),
]
NOT_THERE = ["feature.laod", "feature.", "quality.laod", "service.latncy", "metric.recal",
             "metric.absolute", "metric.error.1", "metric."]  # fmt: skip


def test_a_change_that_does_not_fit_is_refused_by_its_field_and_changes_nothing(
    client: httpx.Client,
) -> None:
    before = watches(client)
    for name, change, path in UNFIT:
        body = json.dumps(change)  # Infinity as clients of Python write it.
        headers = {"Content-Type": "application/json"}
        refused = client.patch(f"/v1/watches/{before[name]['id']}", content=body, headers=headers)
        assert refused.status_code == 422, change
        assert refused.json()["errors"][0]["path"].startswith(f"/body/{path}"), change
    for signal in NOT_THERE:
        detector = "ranks" if signal.startswith("feature") else "bounded-mean"
        entry = {"name": "mine", "signal": signal, "detector": detector}
        whole = client.put(WATCHES, json={"watches": [entry]})
        one = client.post("/v1/watches", json=entry | {"application": "market", "tier": "page"})
        assert [one.status_code, whole.status_code] == [422, 422], signal
        assert one.json()["errors"][0]["path"] == "/body/signal"
        assert whole.json()["errors"][0]["path"] == "/body/watches/0/signal"
    assert watches(client) == before


def test_what_a_change_leaves_as_it_is_does_not_begin_anew(
    client: httpx.Client, database: str
) -> None:
    loss = watches(client)["loss"]
    path = f"/v1/watches/{loss['id']}"
    states = "SELECT count(*) AS n FROM watch_states WHERE watch_id = $1"
    assert asyncio.run(rows_of(database, states, loss["id"]))[0]["n"]
    same = client.patch(path, json={"settings": loss["settings"], "tier": "page", "mode": "act"})
    # Nothing can act for a watch that only tells people.
    assert (same.status_code, same.json()) == (200, loss)
    assert asyncio.run(rows_of(database, states, loss["id"]))[0]["n"]
    assert client.patch(path, json={"settings": {"block": 7}}).json()["settings"] == {"block": 7}
    assert not asyncio.run(rows_of(database, states, loss["id"]))[0]["n"]
    off = client.patch(path, json={"settings": {"block": None}, "enabled": False}).json()
    assert (off["settings"], off["enabled"]) == ({"block": None}, False)


def test_changes_of_one_watch_at_the_same_time_wait_for_the_turn_and_for_each_other(
    client: httpx.Client, database: str
) -> None:
    loss = watches(client)["loss"]["id"]

    async def turn(pool: ThreadPoolExecutor) -> list[httpx.Response]:
        loop, engine = asyncio.get_running_loop(), connect(database)
        changes = [{"limit": 0.4}, {"tolerance": 0.1}]
        try:
            async with engine.begin() as connection:
                await store.read_watches_of(connection, [1])
                states = await store.read_states(connection, [loss])
                sent = [
                    loop.run_in_executor(pool, patch, client, loss, settings)
                    for settings in changes
                ]
                await until_wait(database, len(sent))
                # The turn, which came first, saves its detectors: nobody has them locked.
                await store.save_states(connection, states)
            return list(await asyncio.gather(*sent))
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(2) as pool:
        done = asyncio.run(turn(pool))
    assert [one.status_code for one in done] == [200, 200]
    settings = watches(client)["loss"]["settings"]
    assert settings == {"block": "recommended", "limit": 0.4, "tolerance": 0.1}
    assert not asyncio.run(
        rows_of(database, "SELECT 1 FROM watch_states WHERE watch_id = $1", loss)
    )


def patch(client: httpx.Client, number: int, settings: dict[str, Any]) -> httpx.Response:
    return client.patch(f"/v1/watches/{number}", json={"settings": settings}, timeout=60)


def test_of_two_files_that_are_applied_at_the_same_time_the_later_one_holds_as_a_whole(
    client: httpx.Client, database: str
) -> None:
    def apply(name: str) -> httpx.Response:
        return client.put(WATCHES, json={"watches": [{"name": "mine"}, {"name": name}]}, timeout=60)

    async def together(pool: ThreadPoolExecutor) -> list[httpx.Response]:
        loop = asyncio.get_running_loop()
        connection = await asyncpg.connect(database)
        try:
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM watches FOR UPDATE")
                sent = [loop.run_in_executor(pool, apply, name) for name in ("one", "two")]
                await until_wait(database, len(sent))
            return list(await asyncio.gather(*sent))
        finally:
            await connection.close()

    with ThreadPoolExecutor(2) as pool:
        done = asyncio.run(together(pool))
    assert [one.status_code for one in done] == [200, 200]
    own = {name for name, one in watches(client).items() if one["origin"] == "operator"}
    assert own in ({"mine", "one"}, {"mine", "two"})


def test_what_nothing_can_have_for_a_number_is_not_found(client: httpx.Client) -> None:
    for number in (2**31, 999_999_999_999):
        changed = client.patch(f"/v1/watches/{number}", json={"enabled": True})
        shown = client.get(f"/v1/alerts/{number}")
        assert {changed.status_code, shown.status_code} == {404}
        assert str(number) in changed.json()["detail"]
