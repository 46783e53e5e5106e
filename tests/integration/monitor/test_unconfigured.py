"""Whatever goes wrong with an application that nobody configured raises an alert of its own kind.

One record in a real Postgres, in which one thing after the other goes wrong and stays so; the
watches are those that every application gets.
"""

import asyncio
import json
import random
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.loop import turn_once
from monitor.store.database import connect
from tests.support.monitoring import rows_of, settings_for
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
    "properties": {
        "age": {"type": "number"},
        "income": {"type": ["number", "null"]},
        "visits": {"type": "integer", "maximum": 30},
        "member": {"type": "boolean"},
        "city": {"type": "string"},
        "shop": {"type": "string"},
    },
}
FEATURES = list(SCHEMA["properties"])
ROWS, HALF_A_DAY, EVERY = 5300, 1440, timedelta(seconds=30)
SOON, LATE = timedelta(minutes=5), timedelta(minutes=25)

WRONG = {
    # kind of alert: row from which on it is wrong
    "feature.age": 800,
    "feature.shop": 1100,
    "quality.income": 1400,
    "quality.visits": 1700,
    "quality.member": 2000,
    "quality.city": 2300,
    "score": 2600,
    "output": 2900,
    "service.latency": 3200,
    "service.default": 3500,
    "service.error": 3500,
    "loss": 3700,
    "label.delay": 4000,
    "label.coverage": 4700,
    "service.traffic": ROWS - 1,
}
"""Every kind that is watched without a word and that a single version can raise."""
COME_ALONG = {"feature.city": "quality.city", "feature.visits": "quality.visits"}
"""What a fault also changes."""
SOON_ENOUGH = 300
"""Rows within which each is found."""


def _input(rng: np.random.Generator) -> list[Any]:
    return [
        float(rng.normal(40, 10)), float(rng.normal(3, 1)), int(rng.integers(0, 30)),
        bool(rng.random() < 0.5), str(rng.choice(["Bern", "Oslo"])),
        str(rng.choice(["north", "south", "west"])),
    ]  # fmt: skip


def _row(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Row `number` of the record, with all that is wrong by then."""
    age, income, visits, member, city, shop = _input(rng)
    fault, third = {kind: number >= since for kind, since in WRONG.items()}, number % 3 == 0
    age += 10 * fault["feature.age"]
    shop = "north" if fault["feature.shop"] and third else shop
    given = [
        age,
        None if fault["quality.income"] and third else income,
        99 if fault["quality.visits"] and third else visits,
        "yes" if fault["quality.member"] and third else member,
        "Rome" if fault["quality.city"] and third else city,
        shop,
    ]
    sure = float(rng.uniform(0.5, 0.7 if fault["score"] else 1.0))
    output = int(rng.random() < (0.85 if fault["output"] else 0.5))
    made = {
        "input": json.dumps(given).encode(),
        "output": output,
        "scores": np.array([sure, 1 - sure] if output == 0 else [1 - sure, sure]).tobytes(),
        "latency_us": 150_000 if fault["service.latency"] and third else 20_000,
    }
    if fault["service.default"] and number % 5 == 0:
        made |= {"flags": DEFAULT, "default_reason": 2, "output": 0}
    return made


def _label(
    number: int, output: int, at: datetime, rng: np.random.Generator
) -> tuple[datetime, int]:
    wrong = rng.random() < (0.4 if number >= WRONG["loss"] else 0.1)
    usual = LATE if number >= WRONG["label.delay"] else SOON
    return at + usual * float(rng.gamma(9.0, 1 / 9.0)), 1 - output if wrong else output


async def lay(url: str) -> datetime:
    """Write the application, its version's reference rows and the record; when it ends."""
    connection = await asyncpg.connect(url)
    rng, ids = np.random.default_rng(5), random.Random(5)
    await set_up_application(connection, versions=("1",))
    await connection.execute(
        "UPDATE input_schemas SET schema = $1, features = $2, encoding = 'json'",
        json.dumps(SCHEMA),
        json.dumps(FEATURES),
    )
    outputs = rng.integers(0, 2, 2000)
    labels = np.where(rng.random(2000) < 0.1, 1 - outputs, outputs)
    await connection.execute(
        "INSERT INTO version_references (version_id, features, inputs, labels, outputs)"
        " VALUES (1, $1, $2, $3, $4)",
        json.dumps(FEATURES),
        json.dumps([_input(rng) for _ in range(2000)]),
        json.dumps(labels.tolist()),
        json.dumps(outputs.tolist()),
    )
    predictions, waiting = [], []
    for number in range(ROWS):
        at, made = START + number * EVERY, _row(number, rng)
        predictions.append(Prediction(prediction_id(at, ids), at, 1, **made))
        labelled_at, label = _label(number, made["output"], at, rng)
        if number < WRONG["label.coverage"]:
            waiting.append(Feedback(predictions[-1].id, labelled_at, label))
    for start in range(0, ROWS, HALF_A_DAY):
        until = START + (start + HALF_A_DAY) * EVERY
        due = sorted((one for one in waiting if one.at < until), key=lambda one: one.at)
        waiting = [one for one in waiting if one.at >= until]
        await ship(connection, predictions[start : start + HALF_A_DAY], due)
    await connection.close()
    return START + ROWS * EVERY


async def _read_until(engine: AsyncEngine, url: str, now: datetime) -> None:
    settings = settings_for(url, turn_rows=1, series_step=timedelta(minutes=5))
    # Shipment by shipment, as in life: of a long past a turn judges only so many stretches' labels.
    while await turn_once(engine, settings, lambda: now) is not None:
        pass


def test_each_thing_that_goes_wrong_raises_an_alert_of_its_kind(database: str) -> None:
    async def check() -> None:
        end = await lay(database)
        engine = connect(database)
        try:
            for now in (end, end + timedelta(hours=1)):
                await _read_until(engine, database, now)
        finally:
            await engine.dispose()

    asyncio.run(check())
    found = asyncio.run(
        rows_of(database, "SELECT kind, min(opened_at) AS at FROM alerts GROUP BY kind ORDER BY 2")
    )
    first = {row["kind"]: (row["at"] - START) / EVERY for row in found}
    assert set(first) == set(WRONG) | set(COME_ALONG)
    for kind, row in first.items():
        since = WRONG[COME_ALONG.get(kind, kind)]
        assert since <= row < since + SOON_ENOUGH, kind
