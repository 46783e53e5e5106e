"""What is watched without a word, over records in a real Postgres."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import numpy as np

from migrations.upgrade import upgrade
from tests.support.monitoring import catch_up, rows_of, settings_for
from tests.support.postgres import sqlalchemy_url
from tests.support.shipped import (
    DEFAULT,
    START,
    Feedback,
    Prediction,
    prediction_id,
    set_up_application,
    ship,
)

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "number"}, "income": {"type": ["number", "null"]}},
    "required": ["age", "income"],
}
CANARY = {"kind": "canary", "champion": "price:1", "challenger": "price:2", "share": 0.5}

Row = Callable[[int, np.random.Generator], dict[str, Any]]
"""What row number n of the record is like."""


def plain(_: int, rng: np.random.Generator) -> dict[str, Any]:
    """A row of a world in which nothing changes."""
    return {"input": rng.normal(size=2).tobytes(), "output": int(rng.random() < 0.5)}


async def lay(
    url: str,
    rows: int,
    row: Row,
    *,
    error: Callable[[int, dict[str, Any]], float] = lambda *_: 0.1,
    reference: bool = True,
    policies: tuple[dict[str, Any], ...] = (),
    watches: tuple[tuple[str, str, str, dict[str, Any]], ...] = (),
    alone: int = 0,
) -> None:
    """Write an application with two features, its reference, and rows with late labels, of which
    the last are shipped alone."""
    connection = await asyncpg.connect(url)
    rng, ids = np.random.default_rng(7), random.Random(7)
    await set_up_application(connection, policies=policies)
    await connection.execute(
        "UPDATE input_schemas SET schema = $1, features = $2",
        json.dumps(SCHEMA),
        json.dumps(["age", "income"]),
    )
    if reference:
        await connection.execute(
            "INSERT INTO version_references (version_id, features, inputs)"
            ' VALUES (1, \'["age", "income"]\', $1)',
            json.dumps(rng.normal(size=(2000, 2)).tolist()),
        )
    for name, signal, detector, settings in watches:
        await connection.execute(
            "INSERT INTO watches (application_id, name, signal, detector, tier, settings, remedy,"
            " mode, origin) VALUES (1, $1, $2, $3, 'page', $4, 'notify', 'observe', 'operator')",
            name,
            signal,
            detector,
            json.dumps(settings),
        )
    at, waiting = START, []
    starts = [*range(0, rows - alone, 200), *range(rows - alone, rows), rows]
    for start, end in pairwise(starts):
        predictions, labels = [], []
        for number in range(start, end):
            at += timedelta(seconds=60)
            made = {"version_id": 1, **row(number, rng)}
            identifier = prediction_id(at, ids)
            predictions.append(Prediction(identifier, at, **made))
            wrong = rng.random() < error(number, made)
            truth = 1 - made["output"] if wrong else made["output"]
            waiting.append(Feedback(identifier, at + timedelta(seconds=300), truth))
            while waiting and waiting[0].at <= at:
                labels.append(waiting.pop(0))
        await ship(connection, predictions, labels)
    await connection.close()


async def alarms(url: str) -> list[tuple[str, str]]:
    """Signals and subjects that alarmed, in order."""
    found = await rows_of(
        url, "SELECT evidence->>'signal' AS signal, subject FROM alarms ORDER BY id"
    )
    return [(row["signal"], row["subject"]) for row in found]


def test_each_change_is_found_by_the_signal_that_it_is_about(database: str) -> None:
    def row(number: int, rng: np.random.Generator) -> dict[str, Any]:
        made = plain(number, rng)
        values = np.frombuffer(made["input"]).copy()
        if number >= 1500:
            values[0] += 1.0
        if number >= 2500:
            values[1] = np.nan
        if number >= 3000:
            return made | {"flags": DEFAULT, "default_reason": 2, "output": 0}
        return made | {"input": values.tobytes()}

    async def check() -> None:
        await lay(database, 3400, row)
        await catch_up(settings_for(database))
        found = [signal for signal, _ in await alarms(database)]
        assert found[0] == "feature.age"
        assert set(found) == {
            "feature.age",
            "quality.income",
            "service.default",
            "service.error",
        }
        (evidence,) = await rows_of(
            database,
            "SELECT evidence->'moved' AS moved, evidence->>'change' AS change FROM alarms"
            " WHERE evidence->>'signal' = 'quality.income' LIMIT 1",
        )
        assert "quality.income" in [one["signal"] for one in json.loads(evidence["moved"])]
        (features,) = await rows_of(
            database,
            "SELECT s.status, s.summary FROM watch_states s JOIN watches w ON w.id = s.watch_id"
            " WHERE w.signal = 'feature.*'",
        )
        members = json.loads(features["summary"])["members"]
        # Default answers never count: 2,900 rows have an age, and 2,500 of them an income.
        assert members["feature.age"]["observations"] == 3000
        assert members["feature.income"]["observations"] == 2500

    asyncio.run(check())


def test_without_reference_rows_it_says_how_many_live_ones_are_needed(database: str) -> None:
    async def check() -> None:
        await lay(database, 400, plain, reference=False)
        await catch_up(settings_for(database))
        found = await rows_of(
            database,
            "SELECT w.name, s.status, s.status_reason FROM watch_states s"
            " JOIN watches w ON w.id = s.watch_id WHERE w.signal IN ('feature.*', 'output')",
        )
        assert {(row["name"], row["status"]) for row in found} == {
            ("features", "learning"),
            ("output", "learning"),
        }
        assert {row["status_reason"] for row in found} == {"learning: 400 of 500 rows"}
        await ship_more(database)
        await catch_up(settings_for(database))
        (armed,) = await rows_of(
            database,
            "SELECT s.status, s.parameters FROM watch_states s JOIN watches w ON w.id = s.watch_id"
            " WHERE w.signal = 'output'",
        )
        assert armed["status"] == "armed"
        assert "first 500 live rows" in json.loads(armed["parameters"])["reference"]

    async def ship_more(url: str) -> None:
        connection = await asyncpg.connect(url)
        rng, ids = np.random.default_rng(1), random.Random(1)
        at = START + timedelta(days=1)
        await ship(
            connection,
            [Prediction(prediction_id(at, ids), at, 1, **plain(n, rng)) for n in range(200)],
        )
        await connection.close()

    asyncio.run(check())


def test_an_error_in_one_segment_is_told_with_the_segment(database: str) -> None:
    def row(number: int, rng: np.random.Generator) -> dict[str, Any]:
        region = "EU" if rng.random() < 0.5 else "US"
        return plain(number, rng) | {"context": {"region": region}}

    def error(number: int, made: dict[str, Any]) -> float:
        return 0.6 if number >= 2000 and made["context"]["region"] == "EU" else 0.1

    async def check() -> None:
        by_region = {"segments": {"by": "context.region"}, "learn": 500}
        await lay(
            database,
            3000,
            row,
            error=error,
            watches=(("loss_by_region", "loss", "bounded-mean", by_region),),
        )
        await catch_up(settings_for(database))
        assert {one for one in await alarms(database) if "|" in one[1]} == {("loss", "1|region=EU")}

    asyncio.run(check())


def test_a_worse_canary_is_found_by_the_rows_that_chance_dealt_it(database: str) -> None:
    def row(number: int, rng: np.random.Generator) -> dict[str, Any]:
        version = 1 + int(rng.random() < 0.5)
        return plain(number, rng) | {"version_id": version, "propensity": 0.5}

    def error(number: int, made: dict[str, Any]) -> float:
        return 0.5 if made["version_id"] == 2 else 0.1

    async def check() -> None:
        await lay(
            database,
            2000,
            row,
            error=error,
            policies=(CANARY,),
            watches=(("canary_good", "canary_difference", "randomised-promotion", {}),),
        )
        await catch_up(settings_for(database))
        found = await rows_of(
            database,
            "SELECT DISTINCT w.name, a.subject FROM alarms a JOIN watches w ON w.id = a.watch_id"
            " WHERE w.signal = 'canary_difference'",
        )
        assert [(row["name"], row["subject"]) for row in found] == [("canary", "2,1")]

    asyncio.run(check())


def test_any_split_into_turns_leaves_the_same_states(database: str, empty_database: str) -> None:
    def row(number: int, rng: np.random.Generator) -> dict[str, Any]:
        made = plain(number, rng)
        values = np.frombuffer(made["input"]).copy()
        if number >= 700:
            values += 1.5
        if rng.random() < 0.1:
            values[1] = np.nan
        return made | {"input": values.tobytes()}

    states = (
        "SELECT w.name, s.subject, s.status, s.observations, round(s.granted::numeric, 9) AS"
        " granted, s.alarms, round(s.statistic::numeric, 9) AS statistic FROM watch_states s"
        " JOIN watches w ON w.id = s.watch_id ORDER BY 1, 2"
    )

    async def check() -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url, turn_rows in ((database, 1), (empty_database, 100_000)):
            await lay(url, 1400, row)
            await catch_up(settings_for(url, turn_rows=turn_rows))
        assert await alarms(database) == await alarms(empty_database) != []
        assert await rows_of(database, states) == await rows_of(empty_database, states)

    asyncio.run(check())
