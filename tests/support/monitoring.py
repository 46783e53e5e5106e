"""A made record with a bad release in it, and the monitor run over it."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from monitor.loop import turn_once
from monitor.settings import Mode, Settings
from monitor.store.database import connect
from tests.support.shipped import (
    SHADOW,
    START,
    Feedback,
    Prediction,
    add_reference,
    prediction_id,
    set_up_application,
    ship,
)

GUARDED: Sequence[dict[str, Any]] = (
    {"kind": "single", "champion": "price:1"},
    {"kind": "shadow", "champion": "price:2", "challengers": ["price:1"]},
)
"""Version 1 serves; then version 2, with 1 in its shadow."""

Shipments = list[tuple[list[Prediction], list[Feedback]]]


def bad_release(
    *, seed: int = 1, shipments: int = 12, rows: int = 100, delay: int = 30
) -> Shipments:
    """Version 1 errs in one row of ten; from the middle on version 2 serves and errs in four."""
    rng = random.Random(seed)
    made: Shipments = []
    waiting: list[Feedback] = []
    at = START
    for number in range(shipments):
        predictions: list[Prediction] = []
        labels: list[Feedback] = []
        for _ in range(rows):
            at += timedelta(seconds=5)
            identifier = prediction_id(at, rng)
            good = int(rng.random() < 0.1)
            if number < shipments // 2:
                predictions.append(Prediction(identifier, at, 1, good))
            else:
                bad = int(rng.random() < 0.4)
                predictions.append(Prediction(identifier, at, 2, bad, revision=2))
                predictions.append(Prediction(identifier, at, 1, good, SHADOW, revision=2))
            received = at + timedelta(seconds=5 * delay)
            waiting.append(Feedback(identifier, received, 0, UUID(int=rng.getrandbits(128))))
            while waiting and waiting[0].at <= at:
                labels.append(waiting.pop(0))
        made.append((predictions, labels))
    made.append(([], waiting))
    return made


async def lay(url: str, shipments: Shipments, *, reference: bool = True) -> None:
    """Write application, versions, references and the shipments."""
    connection = await asyncpg.connect(url)
    try:
        await set_up_application(connection, policies=GUARDED)
        if reference:
            rng = random.Random(99)
            outputs = [int(rng.random() < 0.1) for _ in range(3000)]
            for version in (1, 2):
                await add_reference(connection, version, outputs, [0] * 3000)
        for predictions, feedback in shipments:
            await ship(connection, predictions, feedback)
    finally:
        await connection.close()


def settings_for(url: str, **changes: Any) -> Settings:
    """Settings of a test."""
    return Settings(database_url=url, **{"remedy_mode": Mode.OBSERVE, **changes})


async def catch_up(settings: Settings) -> int:
    """Take turns until nothing is left; how many there were."""
    engine = connect(settings.database_url)
    turns = 0
    try:
        while await turn_once(engine, settings) is not None:
            turns += 1
    finally:
        await engine.dispose()
    return turns


async def rows_of(url: str, query: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


STATISTIC = """
    CASE WHEN w.name NOT IN ('label_coverage', 'loss', 'loss_without_reference', 'service')
         THEN round(s.statistic::numeric, 6) END AS statistic
"""
"""Where two runs are compared that read the record in other turns: of a test whose good news waits
the statistic is as of the row before it, and how much waits depends on the turns."""


async def alarms_of(url: str) -> list[tuple[Any, ...]]:
    """What the monitor concluded, without numbers that differ between two runs."""
    found = await rows_of(
        url,
        "SELECT w.name, a.subject, a.observation, a.prediction_id, a.onset_prediction_id,"
        " round(a.statistic::numeric, 6) AS statistic, a.alarmed_at FROM alarms a"
        " JOIN watches w ON w.id = a.watch_id ORDER BY w.name, a.subject, a.observation",
    )
    return [tuple(row.values()) for row in found]
