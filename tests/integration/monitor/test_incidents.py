"""The record of an incident, and the switch of all automation, over REST."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from monitor.settings import Mode
from monitor.store.database import connect
from tests.support.fake_serving import FakeServing
from tests.support.http_server import http_server
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import GUARDED, settings_for
from tests.support.raised import act, add_watch, alarm
from tests.support.shipped import set_up_application


def happen(url: str) -> None:
    """An alarm, a rollback, and another alarm of the same cause."""
    settings = settings_for(url, remedy_mode=Mode.ACT)

    async def run(serving_url: str) -> None:
        connection = await asyncpg.connect(url)
        await set_up_application(connection, versions=("1", "2"), policies=GUARDED)
        await connection.close()
        engine = connect(url)
        watch = await add_watch(engine, "guard", [{"kind": "roll_back"}])
        await alarm(engine, settings, watch)
        await act(engine, settings, serving_url)
        await alarm(engine, settings, watch)
        await engine.dispose()

    with http_server(FakeServing(url)) as server:
        asyncio.run(run(server.url))


def told(client: httpx.Client, number: int = 1) -> dict[str, Any]:
    answer = client.get(f"/v1/incidents/{number}")
    assert answer.status_code == 200, answer.text
    incident: dict[str, Any] = answer.json()
    return incident


def test_an_incident_is_one_timeline_from_onset_to_recovery(database: str) -> None:
    happen(database)
    with monitor_api(settings_for(database)) as client:
        body = {"enabled": False, "reason": "while we look"}
        assert client.put("/v1/automation/market", json=body).status_code == 200
        client.post("/v1/alerts/1/acknowledge", json={"reason": "mine"})
        client.post("/v1/alerts/1/resolve", json={"reason": "fixed"})
        incident = told(client)
        kinds = [line["what"] for line in incident["timeline"]]
        assert kinds[0] == "onset"
        assert set(kinds) >= {"onset", "alarm", "remedy", "route", "automation", "alert"}
        sentences = [line["sentence"] for line in incident["timeline"]]
        order = ["alert opened", "roll_back) decided", "route at revision 3", "acknowledged: mine"]
        places = [next(i for i, s in enumerate(sentences) if part in s) for part in order]
        assert places == sorted(places)
        assert sentences[-1] == "alert resolved: fixed"
        assert incident["seconds"]["alert_to_act"] >= 0
        assert incident["seconds"]["alert_to_recovery"] >= incident["seconds"]["alert_to_act"]
        assert incident["remedies"][0]["to_version"] == "price:1"
        assert client.get("/v1/incidents/99").json()["code"] == "not_found"


def test_an_incident_is_read_as_markdown(database: str, tmp_path: Path) -> None:
    happen(database)
    with monitor_api(settings_for(database)) as client:
        asked = client.get("/v1/incidents/1", params={"format": "markdown"})
        preferred = client.get("/v1/incidents/1", headers={"Accept": "text/markdown"})
        assert asked.headers["content-type"].startswith("text/markdown")
        assert asked.text == preferred.text
        assert asked.text.startswith("# Incident 1: market: ")
        assert "\n## Timeline\n\n- 2026-" in asked.text
        assert "| 1 | roll\\_back | acted | price:2 → price:1 |" in asked.text


def test_an_incident_outlives_its_watch_its_webhook_and_its_rows(database: str) -> None:
    happen(database)
    with monitor_api(settings_for(database)) as client:
        before = told(client)
        watch = next(w for w in client.get("/v1/watches").json() if w["name"] == "guard")
        assert client.delete(f"/v1/watches/{watch['id']}").status_code == 204

        async def drop() -> None:
            connection = await asyncpg.connect(database)
            await connection.execute("DELETE FROM predictions; DELETE FROM feedback")
            await connection.execute("DELETE FROM signal_points")
            await connection.close()

        asyncio.run(drop())
        assert told(client) == before
        assert any("statistic" in line["sentence"] for line in before["timeline"])


def test_the_switch_of_all_outranks_that_of_an_application(database: str) -> None:
    happen(database)
    with monitor_api(settings_for(database)) as client:
        whole = client.get("/v1/automation").json()
        assert (whole["enabled"], whole["switch"]["actor"]) == (True, None)
        off = client.put("/v1/automation", json={"enabled": False, "reason": "storm"}).json()
        assert (off["enabled"], off["switch"]["actor"]) == (False, "admin")
        assert [one["enabled"] for one in off["applications"]] == [False]
        one = client.put("/v1/automation/market", json={"enabled": True}).json()
        assert (one["enabled"], one["switch"]["enabled"], one["of_all"]["reason"]) == (
            False,
            True,
            "storm",
        )
        client.put("/v1/automation", json={"enabled": True})
        assert client.get("/v1/automation/market").json()["enabled"]
        assert client.get("/v1/automation/nobody").status_code == 404
        assert client.put("/v1/automation", json={"enabled": "perhaps"}).status_code == 422


def test_health_shows_the_switch_and_series_come_by_the_hour(database: str) -> None:
    happen(database)
    with monitor_api(settings_for(database)) as client:
        client.put("/v1/automation", json={"enabled": False, "reason": "storm"})
        shown = client.get("/v1/applications/market/health").json()["automation"]
        assert (shown["enabled"], shown["of_all"]["reason"]) == (False, "storm")
        path = "/v1/applications/market/signals/loss"
        for step in ("point", "minute", "hour"):
            assert client.get(path, params={"step": step}).json() == []
        assert client.get(path, params={"step": "year"}).status_code == 422


def test_a_reader_sees_the_switch_and_may_not_turn_it(database: str) -> None:
    happen(database)
    with monitor_api(settings_for(database), key="reader") as client:
        assert client.get("/v1/automation").status_code == 200
        assert client.put("/v1/automation", json={"enabled": False}).status_code == 403


def test_nothing_is_approved_while_automation_is_off(database: str) -> None:
    settings = settings_for(database)

    async def propose() -> None:
        connection = await asyncpg.connect(database)
        await set_up_application(connection, versions=("1", "2"), policies=GUARDED)
        await connection.close()
        engine = connect(database)
        watch = await add_watch(engine, "guard", [{"kind": "roll_back"}], mode=Mode.PROPOSE)
        await alarm(engine, settings, watch)
        await engine.dispose()

    asyncio.run(propose())
    with monitor_api(settings) as client:
        client.put("/v1/automation/market", json={"enabled": False})
        refused = client.post("/v1/remedies/1/approve")
        assert (refused.status_code, refused.json()["code"]) == (409, "automation_off")
        client.put("/v1/automation/market", json={"enabled": True})
        assert client.post("/v1/remedies/1/approve").json()["state"] == "approved"
