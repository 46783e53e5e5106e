"""A release without reference rows that is bad from its first row on: who finds it, how soon."""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from migrations.upgrade import upgrade
from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.store.database import connect
from tests.support.monitoring import alarms_of, catch_up, rows_of, settings_for
from tests.support.postgres import execute, sqlalchemy_url
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

ALONE = ({"kind": "single", "champion": "price:1"}, {"kind": "single", "champion": "price:2"})
GUARDED = (ALONE[0], {"kind": "shadow", "champion": "price:2", "challengers": ["price:1"]})
BEFORE, AFTER = 700, 600


async def lay(
    url: str,
    policies: Sequence[dict[str, Any]],
    *,
    bad: float,
    reference: bool = False,
    shipped: int = 250,
) -> None:
    """Version 1 errs in one answer of ten; then version 2 answers, in its first row already.

    Parameters
    ----------
    shipped
        Rows of one shipment.
    """
    connection = await asyncpg.connect(url)
    rng = random.Random(3)
    await set_up_application(connection, policies=policies)
    if reference:
        outputs = [int(rng.random() < 0.1) for _ in range(3000)]
        await add_reference(connection, 1, outputs, [0] * 3000)
    predictions, labels = [], []
    for number in range(BEFORE + AFTER):
        at = START + timedelta(seconds=30 * number)
        identifier, late = prediction_id(at, rng), at + timedelta(seconds=10)
        usual, worse = int(rng.random() < 0.1), int(rng.random() < bad)
        if number < BEFORE:
            predictions.append(Prediction(identifier, at, 1, usual))
        else:
            predictions.append(Prediction(identifier, at, 2, worse, revision=2))
            if policies == GUARDED:
                shadow = Prediction(identifier, at, 1, usual, SHADOW, revision=2)
                predictions.append(shadow)
        labels.append(Feedback(identifier, late, 0))
    for start in range(0, BEFORE + AFTER, shipped):
        until = START + timedelta(seconds=30 * (start + shipped))
        since = START + timedelta(seconds=30 * start)
        await ship(
            connection,
            [one for one in predictions if since <= one.at < until],
            [one for one in labels if since <= one.at < until],
        )
    await connection.close()


FIRST = """
    SELECT w.name, min(a.observation) AS labels FROM alarms a JOIN watches w ON w.id = a.watch_id
     WHERE a.subject IN ('2', '2,1') AND w.detector <> 'adwin' GROUP BY w.name ORDER BY 2
"""
STATES = """
    SELECT w.name, s.subject, s.status, s.observations, s.alarms,
           round(s.statistic::numeric, 9) AS statistic, s.parameters ->> 'reference' AS reference,
           s.parameters ->> 'limit' AS line
      FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.signal = 'loss' AND w.detector <> 'adwin' ORDER BY 1, 2
"""


@pytest.mark.parametrize(
    ("policies", "reference", "finders"),
    [
        (ALONE, True, {"loss"}),
        (ALONE, False, {"loss"}),
        (GUARDED, False, {"loss", "loss_difference"}),
    ],
)
def test_it_is_found_by_comparison_with_the_version_before(
    database: str, policies: Sequence[dict[str, Any]], reference: bool, finders: set[str]
) -> None:
    async def check() -> None:
        await lay(database, policies, bad=0.3, reference=reference)
        await catch_up(settings_for(database, turn_rows=1))
        found = {row["name"]: row["labels"] for row in await rows_of(database, FIRST)}
        assert set(found) == finders
        assert max(found.values()) <= 150

    asyncio.run(check())


def test_the_limit_says_whose_it_is_and_no_split_into_turns_changes_it(
    database: str, empty_database: str
) -> None:
    async def check() -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url, turn_rows in ((database, 1), (empty_database, 100_000)):
            await lay(url, ALONE, bad=0.3)
            await catch_up(settings_for(url, turn_rows=turn_rows))
        states = await rows_of(database, STATES)
        assert states == await rows_of(empty_database, STATES)
        told = {(one["name"], one["subject"]): one for one in states}
        # Version 1 has nothing to be held to, so it is held to its own beginning.
        assert ("loss", "1") not in told
        own, held = told["loss_rollback", "1"], told["loss", "2"]
        assert own["reference"].endswith("by comparison with the one before, not by this watch")
        assert held["line"] == own["line"]
        assert held["observations"] == AFTER
        (alert,) = await rows_of(database, "SELECT detail FROM alerts WHERE subject = '2'")
        how_sure = json.loads(alert["detail"])["how_sure"]
        assert how_sure["limit_from"] == (
            "price:1, a version before it: no reference rows were uploaded with this one"
        )

    asyncio.run(check())


HELD = """
    SELECT s.parameters ->> 'reference' AS reference, s.observations
      FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.name = 'loss' AND s.subject = '2'
"""
OFF = "UPDATE watches SET enabled = false WHERE name = 'loss_rollback'"


@pytest.mark.parametrize("off", [False, True])
def test_it_is_held_to_the_one_before_by_what_only_another_watch_knows(
    database: str, off: bool
) -> None:
    async def check() -> None:
        await lay(database, ALONE, bad=0.3, shipped=10)
        engine, settings = connect(database), settings_for(database, turn_rows=1)
        turns = 0
        # Each turn goes on from the tables alone, and reads the detectors that it needs.
        while await turn_once(engine, settings, memory=Memory()) is not None:
            turns += 1
            if off and turns == BEFORE // 10:
                await asyncio.to_thread(execute, database, OFF)
        await engine.dispose()
        (held,) = await rows_of(database, HELD)
        assert held["reference"].startswith("price:1, a version before it")
        assert held["observations"] == AFTER

    asyncio.run(check())


def test_a_release_that_errs_no_more_than_the_one_before_raises_nothing(database: str) -> None:
    async def check() -> None:
        await lay(database, ALONE, bad=0.1)
        await catch_up(settings_for(database))
        assert not [name for name, *_ in await alarms_of(database) if name != "loss_adwin"]
        assert "loss" in {row["name"] for row in await rows_of(database, STATES)}

    asyncio.run(check())
