"""What the console's charts are drawn from, over a real database."""

import asyncio
from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from tests.support.monitor_api import monitor_api
from tests.support.monitoring import bad_release, catch_up, lay, settings_for
from tests.support.postgres import execute

PATH = "/v1/applications/market"


@pytest.fixture(scope="module")
def client(module_database: str) -> Iterator[httpx.Client]:
    async def prepare() -> None:
        await lay(module_database, bad_release())
        await catch_up(settings_for(module_database))

    asyncio.run(prepare())
    with monitor_api(settings_for(module_database)) as made:
        yield made


def test_several_plots_are_the_single_ones_over_the_same_time(client: httpx.Client) -> None:
    signals = ["loss", "service.latency", "label.delay", "metric.nothing"]
    told = client.get(f"{PATH}/plots", params={"signal": signals}).json()
    assert [one["signal"] for one in told] == signals
    assert told == [client.get(f"{PATH}/plots/{signal}").json() for signal in signals]
    assert {line["versions"] for line in told[0]["lines"]} == {"price:1", "price:2"}
    assert any(line["limit"] is not None for line in told[0]["lines"])
    assert len({(one["start"], one["end"]) for one in told}) == 1
    assert told[-1]["lines"] == []


def test_the_last_seconds_end_with_the_data_and_begin_no_earlier_than_it(
    client: httpx.Client,
) -> None:
    [whole] = client.get(f"{PATH}/plots", params={"signal": "loss"}).json()
    [part] = client.get(f"{PATH}/plots", params={"signal": "loss", "last": 60}).json()
    [more] = client.get(f"{PATH}/plots", params={"signal": "loss", "last": 4e8}).json()
    assert more == whole
    assert part["end"] == whole["end"]
    assert part["first_at"] == whole["start"] < part["start"] < part["end"]
    for wrong in ("", "signal=loss&last=0", "&".join(f"signal={n}" for n in range(21))):
        assert client.get(f"{PATH}/plots?{wrong}").status_code == 422


def test_the_evidence_of_a_signal_is_what_its_series_tells(client: httpx.Client) -> None:
    told = client.get(f"{PATH}/evidence", params={"signal": "loss_difference"}).json()
    assert told
    series = client.get(f"{PATH}/signals/loss_difference").json()
    traces = {(one["subject"], watch): points for one in series
              for watch, points in one["trace"].items() if points}  # fmt: skip
    assert {(one["subject"], one["watch"]) for one in told} == set(traces)
    for one in told:
        points = traces[one["subject"], one["watch"]]
        assert one["statistic"] == [point["statistic"] for point in points]
        assert one["at"] == [point["at_us"] / 1e6 for point in points]
    # Without a signal it is that of everything that tells of the loss.
    every = client.get(f"{PATH}/evidence").json()
    assert [one for one in every if one["signal"] == "loss_difference"] == told
    assert {one["signal"] for one in every} > {"loss_difference"}


def test_a_mark_of_an_alarm_names_the_alert_that_holds_it_and_no_other(
    client: httpx.Client, module_database: str
) -> None:
    marks = [one for one in client.get(f"{PATH}/marks").json() if one["kind"] == "alarm"]
    alerts = [one["id"] for one in client.get("/v1/alerts").json()]
    assert len(alerts) > 1
    assert {one["alert"] for one in marks} == set(alerts)
    held: list[int] = []
    for number in alerts:
        alarms = client.get(f"/v1/alerts/{number}").json()["alarms"]
        mine = sorted(one["at"] for one in marks if one["alert"] == number)
        assert [one["alarmed_at"] for one in alarms] == mine
        held += [one["id"] for one in alarms]
    assert len(held) == len(set(held)) == len(marks)


def test_looking_at_an_alert_does_not_wait_for_a_turn_that_holds_it(
    client: httpx.Client, module_database: str
) -> None:
    async def look() -> httpx.Response:
        connection = await asyncpg.connect(module_database)
        try:
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM alerts FOR UPDATE")
                return await asyncio.to_thread(client.get, "/v1/alerts/1", timeout=30)
        finally:
            await connection.close()

    assert asyncio.run(look()).is_success


def test_what_serving_made_meanwhile_is_known_at_the_next_request(
    client: httpx.Client, module_database: str
) -> None:
    assert client.get("/v1/applications/fresh/health").status_code == 404
    execute(
        module_database,
        "INSERT INTO applications (id, name, task, latency_objective_ms)"
        " VALUES (77, 'fresh', 'binary', 100)",
    )
    assert client.get("/v1/applications/fresh/health").json()["application"] == "fresh"
