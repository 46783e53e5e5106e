"""An application's watches as one whole, over REST and from the command line; and their ledger."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from leadsman.cli import app
from leadsman.errors import CommandError
from monitor.settings import Settings
from monitor.watches.watch import DEFAULT_WATCHES
from tests.support.monitor_api import monitor_api
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.shipped import START

MINE = {"name": "mine", "signal": "feature.load", "detector": "ranks", "tier": "info"}
WATCHES = "/v1/applications/market/watches"


@contextmanager
def watching(database: str) -> Iterator[tuple[httpx.Client, Settings]]:
    settings = settings_for(database)

    async def prepare() -> None:
        await lay(database, bad_release())
        await catch_up(settings)

    asyncio.run(prepare())
    with monitor_api(settings) as client:
        yield client, settings


def names(client: httpx.Client) -> set[str]:
    found = client.get("/v1/watches", params={"application": "market"}).json()
    return {one["name"] for one in found if one["enabled"]}


def ledger(client: httpx.Client) -> dict[str, Any]:
    found = client.get("/v1/applications/market/budget").json()
    return {tier["name"]: tier for tier in found["tiers"]}


def run(monkeypatch: pytest.MonkeyPatch, client: httpx.Client, *words: str) -> Any:
    monkeypatch.setenv("LEADSMAN_MONITOR_URL", str(client.base_url).rstrip("/"))
    monkeypatch.setenv("LEADSMAN_API_KEY", "lsm_admin")
    return CliRunner().invoke(app, ["watches", *words])


def test_a_file_is_compared_then_applied_and_then_changes_nothing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "watches.yaml"
    path.write_text(
        "application: market\n"
        "watches:\n"
        "  - {name: mine, signal: feature.load, detector: ranks, tier: info}\n"
        "  - {name: quality, enabled: false}\n"
        "  - {name: loss, settings: {tolerance: 0.05}}\n"
        "budgets: {page: 4, rollback: 0.05}\n"
    )
    with watching(database) as (client, _):
        before = names(client)
        said = run(monkeypatch, client, "diff", str(path), "--exit-code")
        assert said.exit_code == 1
        assert "market: mine would be added" in said.output
        assert "market: loss would be changed; its tests begin anew" in said.output
        assert "enabled: true -> false" in said.output
        assert "budget of tier page would be changed" in said.output
        assert "false alarms a year: 1 -> 4" in said.output
        assert "tier rollback" not in said.output
        assert names(client) == before
        assert ledger(client)["page"]["budget_per_year"] == 1
        said = run(monkeypatch, client, "apply", str(path))
        assert (said.exit_code, "market: quality changed" in said.output) == (0, True)
        assert names(client) == before - {"quality"} | {"mine"}
        page = ledger(client)["page"]
        assert page["budget_per_year"] == 4
        assert sum(one["budget_per_year"] for one in page["watches"]) == pytest.approx(4)
        again = run(monkeypatch, client, "apply", str(path))
        assert again.output == "market: the watches are those of the file\n"
        exported = run(monkeypatch, client, "export", "market")
        path.write_text(exported.output)
        assert run(monkeypatch, client, "diff", str(path), "--exit-code").exit_code == 0
        path.write_text("application: market\n")
        assert "mine removed" in run(monkeypatch, client, "apply", str(path)).output
        assert names(client) == {form.name for form in DEFAULT_WATCHES}
        assert ledger(client)["page"]["budget_per_year"] == 1
        listed = run(monkeypatch, client, "list", "market", "--json")
        assert '"name": "loss_rollback"' in listed.output


def test_nothing_is_applied_of_a_file_that_the_monitor_refuses(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "watches.yaml"
    with watching(database) as (client, _):
        before = client.get("/v1/watches").json()
        path.write_text(
            "watches:\n  - {name: a}\n  - name: b\n    signal: metric.mine\n"
            "    settings:\n      metric: nowhere:at_all\n"
        )
        done = run(monkeypatch, client, "apply", str(path))
        assert "names no application" in str(done.exception)
        done = run(monkeypatch, client, "apply", str(path), "--application", "market")
        assert isinstance(done.exception, CommandError)
        assert f"{path}, line 6: watches[1].settings.metric: expected" in str(done.exception)
        done = run(monkeypatch, client, "apply", str(path), "--application", "nobody")
        assert "no application nobody" in str(done.exception)
        twice = client.put(WATCHES, json={"watches": [MINE, MINE]})
        assert twice.json()["errors"][0]["path"] == "/body/watches/1/name"
        wrong: list[Any] = [{"watches": [{"name": "x", "tier": "no"}]}, {"watchs": []}, [7]]
        for body in wrong:
            assert client.put(WATCHES, json=body).status_code == 422
        reader = {"Authorization": "Bearer lsm_reader"}
        assert client.put(WATCHES, json={}, headers=reader).status_code == 403
        assert client.get(WATCHES, headers=reader).json()["watches"] == []
        assert client.get("/v1/watches").json() == before


def test_the_ledger_tells_what_was_granted_spent_and_raised(database: str) -> None:
    with watching(database) as (client, settings):
        tiers = ledger(client)
        assert set(tiers) == {"rollback", "page", "info"}
        for name, tier in tiers.items():
            assert tier["budget_per_year"] == getattr(settings, f"budget_{name}")
            assert 0 <= tier["spent"] <= tier["granted"] + 1e-12
            expected = tier["spent"] + tier["head_starts"]
            assert tier["expected_false_alarms"] == pytest.approx(expected)
            watches = tier["watches"]
            for part in ("spent", "head_starts", "alarms", "expected_false_alarms"):
                assert tier[part] == pytest.approx(sum(one[part] for one in watches))
            assert sum(w["budget_per_year"] for w in watches) == pytest.approx(
                tier["budget_per_year"]
            )
        rollback = tiers["rollback"]
        alarmed = {one["name"]: one["alarms"] for one in rollback["watches"]}
        assert alarmed["loss_difference"] >= 1
        assert rollback["head_starts"] >= 0.01


def test_tests_that_begin_anew_keep_what_was_spent(database: str) -> None:
    with watching(database) as (client, _):
        before = ledger(client)
        changed = {"name": "loss_difference", "settings": {"margin": 0.05}}
        assert client.put(WATCHES, json={"watches": [changed]}).json()["changes"][0]["restarts"]
        assert ledger(client) == before
        # In another tier it begins a new account; the old one stays where it was spent.
        moved = {"name": "loss_difference", "tier": "page"}
        client.put(WATCHES, json={"watches": [moved]})
        after = ledger(client)
        for part in ("spent", "head_starts", "alarms"):
            assert after["rollback"][part] == before["rollback"][part]
        share = {one["name"]: one["budget_per_year"] for one in after["rollback"]["watches"]}
        assert share["loss_difference"] == 0


@pytest.mark.parametrize("before_the_rows", [False, True])
def test_watches_are_granted_what_their_application_allowed_when_the_rows_were_recorded(
    database: str, before_the_rows: bool
) -> None:
    settings = settings_for(database)
    budgets = {"budgets": {"info": 1000.0}}
    path = "/v1/applications/market/budget"
    asyncio.run(lay(database, bad_release()))
    with monitor_api(settings) as client:
        wrong: list[Any] = [{"page": 0}, {"page": -1}, {"page": 1001}, {"page": "x"}, {"pager": 1}]
        for one in wrong:
            refused = client.put(path, json={"budgets": one})
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["path"].startswith("/body/budgets/page")
        reader = {"Authorization": "Bearer lsm_reader"}
        assert client.put(path, json=budgets, headers=reader).status_code == 403
        client.put(path, json=budgets)
        assert client.get(WATCHES).json()["budgets"] == budgets["budgets"]
        if before_the_rows:
            moved = "UPDATE application_budgets SET set_at = $1 RETURNING 1"
            asyncio.run(rows_of(database, moved, START - timedelta(days=1)))
        asyncio.run(catch_up(settings))
        info = ledger(client)["info"]
        assert info["budget_per_year"] == 1000
        # Else the rows are a backlog, older than the change: 12 a year were allowed at their time.
        years = (
            datetime.fromisoformat(info["until"]) - datetime.fromisoformat(info["since"])
        ) / timedelta(days=365.25)
        least, most = (12 * years, 1000 * years) if before_the_rows else (0, 12 * years)
        assert least < info["spent"] <= info["granted"]
        assert info["granted"] == pytest.approx(most)
        assert ledger(client)["page"]["spent"] <= ledger(client)["page"]["granted"]


def test_a_change_and_a_turn_wait_for_each_other(database: str) -> None:
    async def check() -> None:
        from monitor.store import watches as store
        from monitor.store.database import connect

        engine = connect(database)
        try:
            async with engine.begin() as turn:
                held = await store.read_watches_of(turn, [1])
                async with engine.begin() as change:
                    task = asyncio.create_task(store.lock_watches(change, 1))
                    done, _ = await asyncio.wait({task}, timeout=0.3)
                    assert held
                    assert not done
                    await turn.commit()
                    assert [w.id for w in await task] == [w.id for w in held]
        finally:
            await engine.dispose()

    with watching(database):
        asyncio.run(check())
