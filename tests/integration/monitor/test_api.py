"""The REST interface over a real database."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import uvicorn

from monitor.app import create_app
from monitor.replay.replay import ReplaySettings, replay_file, replay_record
from tests.support.monitoring import alarms_of, bad_release, catch_up, lay, settings_for


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    async def prepare() -> None:
        await lay(database, bad_release())
        await catch_up(settings_for(database, remedy_mode="propose"))
        connection = await asyncpg.connect(database)
        for name, scopes in (("admin", ["admin"]), ("reader", ["read"]), ("other", ["predict"])):
            await connection.execute(
                "INSERT INTO keys (id, name, hash, scopes) VALUES (gen_random_uuid(), $1, $2, $3)",
                name,
                hashlib.sha256(f"lsm_{name}".encode()).digest(),
                json.dumps(scopes),
            )
        await connection.close()

    asyncio.run(prepare())
    config = uvicorn.Config(
        create_app(settings_for(database), with_loop=False), port=0, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": "Bearer lsm_admin"}
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as made:
        yield made
    server.should_exit = True
    thread.join()


def test_health_names_each_watch_with_its_state_and_evidence(client: httpx.Client) -> None:
    health = client.get("/v1/applications/market/health").json()
    assert health["state"] == "firing"
    by_name = {(w["watch"], w["versions"]): w for w in health["watches"]}
    watched = by_name["loss_difference", "price:2 against price:1"]
    assert watched["status"] == "armed"
    assert watched["budget_per_year"] == 0.025
    assert by_name["loss", "price:1"]["mean"]["rows"] == 600


def test_an_alert_tells_what_a_person_needs_in_that_order(client: httpx.Client) -> None:
    alerts = client.get("/v1/alerts", params={"state": "open"}).json()
    alert = next(a for a in alerts if a["kind"] == "loss_difference")
    order = ["what", "since", "how_sure", "how_bad", "where", "done", "link"]
    assert set(order) <= set(alert["detail"])
    whole = client.get(f"/v1/alerts/{alert['id']}").json()
    evidence = whole["alarms"][0]["evidence"]
    assert evidence["statistic"] >= evidence["threshold"] == 1.0
    assert evidence["promise"].startswith("At most one false alarm in 40 years is expected")
    assert evidence["trace"][-1]["statistic"] >= 1.0
    assert evidence["after"]["low"] > evidence["parameters"]["margin"]
    # The reference's test came first and proposed the same change: this alert says so in one line.
    assert [e["event"] for e in whole["events"]][:2] == ["opened", "declined"]
    assert whole["events"][1]["detail"]["reason"] == "remedy 1 proposes the same change"


def test_an_alert_is_acknowledged_once_and_resolved_once(client: httpx.Client) -> None:
    number = client.get("/v1/alerts").json()[0]["id"]
    assert client.post(f"/v1/alerts/{number}/acknowledge").status_code == 200
    again = client.post(f"/v1/alerts/{number}/acknowledge")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    assert client.post(f"/v1/alerts/{number}/resolve").json()["state"] == "resolved"
    assert client.post(f"/v1/alerts/{number}/resolve").status_code == 409
    assert client.post("/v1/alerts/999999/resolve").json()["code"] == "not_found"


def test_a_proposed_remedy_is_approved_or_rejected_once(client: httpx.Client) -> None:
    number = client.get("/v1/remedies").json()[0]["id"]
    assert client.post(f"/v1/remedies/{number}/approve").json()["state"] == "approved"
    assert client.post(f"/v1/remedies/{number}/reject").status_code == 409


def test_a_proposed_remedy_is_rejected_for_a_reason(client: httpx.Client) -> None:
    number = client.get("/v1/remedies").json()[0]["id"]
    rejected = client.post(f"/v1/remedies/{number}/reject", json={"reason": "not now"}).json()
    assert (rejected["state"], rejected["state_reason"]) == (
        "rejected",
        "rejected by admin: not now",
    )
    assert client.post(f"/v1/remedies/{number}/approve").status_code == 409


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("reader", "/v1/alerts", 200),
        ("reader", "/v1/webhooks", 403),
        ("other", "/v1/alerts", 403),
        ("unknown", "/v1/alerts", 401),
    ],
)
def test_a_key_opens_what_its_scopes_say(
    client: httpx.Client, key: str, path: str, status: int
) -> None:
    answer = client.get(path, headers={"Authorization": f"Bearer lsm_{key}"})
    assert answer.status_code == status


def test_a_wrong_setting_of_a_watch_is_named(client: httpx.Client) -> None:
    body = {
        "application": "market",
        "name": "mine",
        "signal": "loss",
        "detector": "bounded-mean",
        "tier": "page",
    }
    wrong = client.post("/v1/watches", json=body | {"settings": {"limt": 0.2}})
    assert wrong.json()["errors"][0]["path"] == "/body/settings/limt"
    for changed, path in (
        ({"signal": "los"}, "/body/signal"),
        ({"signal": "feature.income"}, "/body/detector"),
        # A metric of another task than the application's.
        ({"signal": "metric.auc.1"}, "/body/signal"),
        ({"detector": "confirm-gate"}, "/body/settings/opened_by"),
        (
            {"detector": "confirm-gate", "settings": {"opened_by": "bounded-mean"}},
            "/body/settings/opened_by",
        ),
        ({"detector": "confirm-gate", "signal": "feature.income"}, "/body/detector"),
    ):
        refused = client.post("/v1/watches", json=body | changed)
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
    income = {"name": "income", "signal": "feature.income", "detector": "ranks", "tier": "info"}
    assert client.post("/v1/watches", json=body | income).status_code == 201
    unguaranteed = {"detector": "adwin", "tier": "rollback", "remedy": "roll_back"}
    assert client.post("/v1/watches", json=body | unguaranteed).status_code == 422
    made = client.post("/v1/watches", json=body | {"settings": {"limit": 0.2}})
    assert (made.status_code, made.json()["budget_per_year"]) == (201, 64 / 195)
    assert client.post("/v1/watches", json=body).json()["code"] == "name_taken"
    number = made.json()["id"]
    many = {"settings": {"segments": {"by": "context.region"}, "most_segments": 100}}
    for change, name in (
        ({"settings": {"horizon": 10}}, "horizon"),
        (many | {"tier": "rollback"}, "most_segments"),
    ):
        refused = client.patch(f"/v1/watches/{number}", json=change)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["path"] == f"/body/settings/{name}"
    assert client.patch(f"/v1/watches/{number}", json=many).json()["tier"] == "page"
    refused = client.patch(f"/v1/watches/{number}", json={"tier": "rollback"})
    assert refused.json()["errors"][0]["path"] == "/body/settings/most_segments"
    off = client.patch(f"/v1/watches/{number}", json={"enabled": False})
    assert off.json()["budget_per_year"] is None
    assert client.delete(f"/v1/watches/{number}").status_code == 204


def test_metrics_carry_each_watchs_statistic(client: httpx.Client) -> None:
    text = client.get("/metrics").text
    assert 'leadsman_test_statistic{application="market"' in text
    assert 'leadsman_monitor_lag_shipments{shard="all"} 0.0' in text


def test_a_replay_of_the_record_raises_the_alarms_of_the_live_monitor(database: str) -> None:
    async def check() -> None:
        await lay(database, bad_release())
        settings = settings_for(database)
        await catch_up(settings)
        report = await replay_record(settings, "market")
        live = await alarms_of(database)
        assert sorted((a["watch"], a["observation"]) for a in report.alarms) == sorted(
            (name, observation) for name, _, observation, *_ in live
        )

    asyncio.run(check())


def test_a_file_is_replayed_row_by_row(tmp_path: Path) -> None:
    lines = ["predicted_at,f,output,label"]
    for i in range(6000):
        wrong = i % 10 == 0 if i < 4000 else i % 3 == 0
        lines.append(
            f"2026-01-{1 + i // 1440:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00Z,1,{int(wrong)},0"
        )
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(lines))
    given = ReplaySettings.model_validate(
        {"watches": [{"name": "mine", "settings": {"limit": 0.15, "block": 10}}]}
    )
    report = replay_file(file, watches=given).to_json()
    assert report["rows"] == 6000
    first = report["alarms"][0]
    assert 4000 < first["row"] < 4400
    assert abs(first["onset_row"] - 4000) < 100
    assert report["expected_false_alarms"] < 0.05


def test_a_webhook_says_what_form_it_wants_and_what_was_given_up(client: httpx.Client) -> None:
    def make(**body: object) -> httpx.Response:
        return client.post("/v1/webhooks", json=body)

    public = "https://93.184.216.34/hook"
    made = make(url=public, format="slack").json()
    assert (made["format"], made["envelope"]) == ("slack", "none")
    assert make(url=public, envelope="cloudevents").json()["envelope"] == "cloudevents"
    wrong = [
        ({"url": public, "format": "slack", "envelope": "cloudevents"}, "/envelope"),
        ({"url": public, "format": "email"}, "/format"),
        ({"url": "mailto:a@example.com", "format": "slack"}, "/format"),
        # No mail server is set here.
        ({"url": "mailto:a@example.com"}, "/url"),
        ({"url": "mailto:a@example.com,b@example.com"}, "/url"),
        ({"url": "ftp://example.com"}, "/url"),
    ]
    for body, path in wrong:
        answer = make(**body)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path), body
    assert make(url="http://169.254.169.254/latest").json()["code"] == "forbidden_target"
    number = made["id"]
    queued = client.post(f"/v1/webhooks/{number}/test").json()["delivery"]
    listed = {w["id"]: w for w in client.get("/v1/webhooks").json()}
    assert (listed[number]["waiting"], listed[number]["dead"]) == (1, 0)
    path = f"/v1/webhooks/{number}/deliveries"
    assert client.get(path, params={"state": "dead"}).json() == []
    assert [d["id"] for d in client.get(path, params={"state": "waiting"}).json()] == [queued]
    again = client.post(f"{path}/{queued}/redeliver")
    assert (again.status_code, again.json()["delivery"]) == (202, queued)


def test_an_alert_is_told_in_sentences_with_its_group_and_how_it_ends(
    client: httpx.Client,
) -> None:
    alerts = client.get("/v1/alerts", params={"state": "open"}).json()
    worst = next(a for a in alerts if a["kind"] == "loss_difference")
    assert worst["group"] == "market/price:2"
    assert worst["inhibited_by"] is None
    assert worst["text"].startswith("ROLLBACK: market: price:2 errs more than price:1")
    assert "How it ends: it resolves by itself once" in worst["text"]
    assert worst["recovery"]["threshold"] == 1.0
    assert list(worst["detail"])[:7] == [
        "what",
        "since",
        "how_sure",
        "how_bad",
        "where",
        "done",
        "link",
    ]
    loss = next(a for a in alerts if a["kind"] == "loss" and a["versions"] == "price:2")
    assert loss["inhibited_by"] == worst["id"]


def test_a_silence_has_an_author_a_reason_and_an_end_to_come(client: httpx.Client) -> None:
    body = {"application": "market", "reason": "moving", "until": "2020-01-01T00:00:00Z"}
    past = client.post("/v1/silences", json=body)
    assert past.json()["errors"][0]["path"] == "/until"
    made = client.post("/v1/silences", json=body | {"until": "2999-01-01T00:00:00Z"}).json()
    assert (made["author"], made["reason"], made["kind"]) == ("admin", "moving", None)
    assert [s["id"] for s in client.get("/v1/silences").json()] == [made["id"]]
    assert client.delete(f"/v1/silences/{made['id']}").status_code == 204
    assert client.get("/v1/silences").json() == []
