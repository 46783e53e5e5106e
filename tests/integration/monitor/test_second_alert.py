"""A second alert of a fault names what the first one set off, as long as that stands."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from monitor.settings import Mode, Settings
from monitor.store.database import connect
from tests.support.alert_store import add_webhook
from tests.support.fake_serving import FakeServing
from tests.support.http_server import http_server
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import GUARDED, rows_of, settings_for
from tests.support.raised import act, add_watch, alarm
from tests.support.shipped import add_revision, set_up_application

TOLD = (
    "SELECT body -> 'data' AS data FROM deliveries WHERE event = 'alert.firing' ORDER BY sequence"
)


async def _prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    await set_up_application(connection, versions=("1", "2"), policies=GUARDED)
    await connection.close()
    await add_webhook(url, "http://127.0.0.1:9/")


async def _alarms(settings: Settings, *raised: tuple[str, str, Mode, str]) -> None:
    """Alarms of watches that roll back or tell, by signal and subject."""
    engine = connect(settings.database_url)
    for signal, kind, mode, subject in raised:
        watch = await add_watch(
            engine, f"{signal}_{kind}", [{"kind": kind}], mode=mode, signal=signal
        )
        await alarm(engine, settings, watch, subject)
    await engine.dispose()


FIRST = ("loss", "roll_back", Mode.PROPOSE, "2")
SECOND = ("service.latency", "notify", Mode.OBSERVE, "2")


def _what(client: httpx.Client, alert: int) -> str:
    text: str = client.get(f"/v1/alerts/{alert}").json()["text"]
    return next(line for line in text.splitlines() if line.startswith("What was done:"))


def test_it_names_the_proposal_how_to_approve_it_and_in_the_end_what_was_done(
    database: str,
) -> None:
    settings = settings_for(database)
    asyncio.run(_prepare(database))
    asyncio.run(_alarms(settings, FIRST, SECOND))
    with monitor_api(settings) as client, http_server(FakeServing(database)) as serving:
        for shown in (
            client.get("/v1/alerts/2").json(),
            client.get("/v1/alerts").json()[0],
            client.get("/v1/applications/market/health").json()["alerts"][0],
        ):
            assert shown["id"] == 2
            assert shown["standing"] == [
                {
                    "remedy": 1,
                    "alert": 1,
                    "kind": "roll_back",
                    "from_version": "price:2",
                    "to_version": "price:1",
                    "state": "proposed",
                    "reason": None,
                }
            ]
        said = _what(client, 2)
        assert "For alert 1, of the same version: Remedy 1 is proposed" in said
        assert "`leadsman remedies approve 1`" in said
        # The first one tells it as its own, once.
        assert client.get("/v1/alerts/1").json()["standing"] == []

        incident = client.get("/v1/incidents/2").json()
        assert [(r["id"], r["alert"], r["state"]) for r in incident["remedies"]] == [
            (1, 1, "proposed")
        ]
        assert incident["seconds"]["alert_to_act"] is None

        assert client.post("/v1/remedies/1/approve").status_code == 200
        assert "was approved" in _what(client, 2)
        asyncio.run(_act(settings, serving.url))
        assert "Remedy 1 was carried out" in _what(client, 2)
        incident = client.get("/v1/incidents/2").json()
        assert [(r["id"], r["state"]) for r in incident["remedies"]] == [(1, "acted")]
        assert incident["seconds"]["alert_to_act"] > 0
        sentences = [line["sentence"] for line in incident["timeline"]]
        for said in (
            "remedy 1 (roll_back) of alert 1 stands: proposed",
            "remedy 1 (roll_back) of alert 1 approved: approved by admin",
            "remedy 1 (roll_back) of alert 1 acted",
        ):
            assert said in sentences
        document = client.get("/v1/incidents/2", params={"format": "markdown"}).text
        assert "| 1 (alert 1) | roll\\_back | acted | price:2 → price:1 |" in document

        # Another route came: what was done for the first no longer stands, and its record stays.
        asyncio.run(_serve_again(database))
        assert client.get("/v1/alerts/2").json()["standing"] == []
        assert [r["id"] for r in client.get("/v1/incidents/2").json()["remedies"]] == [1]
    told = asyncio.run(rows_of(database, TOLD))
    assert '"standing": [{' in told[-1]["data"]
    assert "Remedy 1 is proposed" in told[-1]["data"]


async def _act(settings: Settings, serving_url: str) -> None:
    engine = connect(settings.database_url)
    await act(engine, settings, serving_url)
    await engine.dispose()


async def _serve_again(url: str) -> None:
    connection = await asyncpg.connect(url)
    await add_revision(connection, {"kind": "single", "champion": "price:2"})
    await connection.close()


def test_an_alert_that_came_first_lists_what_a_later_one_of_its_version_set_off(
    database: str,
) -> None:
    settings = settings_for(database)
    asyncio.run(_prepare(database))
    asyncio.run(_alarms(settings, SECOND, FIRST))
    with monitor_api(settings) as client:
        assert [s["alert"] for s in client.get("/v1/alerts/1").json()["standing"]] == [2]
        assert [r["id"] for r in client.get("/v1/incidents/1").json()["remedies"]] == [1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("loss", "roll_back", Mode.OBSERVE, "2"), SECOND),
        (FIRST, ("service.latency", "notify", Mode.OBSERVE, "1")),
    ],
    ids=["only observed", "another version"],
)
def test_what_does_not_stand_for_its_version_is_not_named(
    database: str, first: Any, second: Any
) -> None:
    settings = settings_for(database)
    asyncio.run(_prepare(database))
    asyncio.run(_alarms(settings, first, second))
    with monitor_api(settings) as client:
        assert client.get("/v1/alerts/2").json()["standing"] == []
        assert client.get("/v1/incidents/2").json()["remedies"] == [] or first[2] is Mode.OBSERVE
        assert "nothing; this watch only tells people." in _what(client, 2)


def test_a_rejected_proposal_is_no_longer_named(database: str) -> None:
    settings = settings_for(database)
    asyncio.run(_prepare(database))
    asyncio.run(_alarms(settings, FIRST, SECOND))
    with monitor_api(settings) as client:
        assert client.post("/v1/remedies/1/reject").status_code == 200
        assert client.get("/v1/alerts/2").json()["standing"] == []
        sentences = [s["sentence"] for s in client.get("/v1/incidents/2").json()["timeline"]]
        assert any("of alert 1 rejected" in s for s in sentences)
