"""What the monitor consumes of a record in a real Postgres, and in which order."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest

from migrations.upgrade import upgrade
from tests.support.monitoring import (
    GUARDED,
    alarms_of,
    bad_release,
    catch_up,
    lay,
    rows_of,
    settings_for,
)
from tests.support.postgres import sqlalchemy_url
from tests.support.shipped import (
    DEFAULT,
    SHADOW,
    START,
    Feedback,
    Prediction,
    prediction_id,
    set_up_application,
    ship,
)
from tests.support.stories import Story

SUMS = (
    "SELECT signal, subject, sum(n) AS n, sum(total) AS total FROM signal_points"
    " WHERE signal LIKE '%loss%' OR signal LIKE '%difference' GROUP BY 1, 2"
)


async def sums(url: str) -> dict[tuple[str, str], tuple[int, float]]:
    return {(r["signal"], r["subject"]): (r["n"], r["total"]) for r in await rows_of(url, SUMS)}


def test_a_bad_release_is_found_by_both_tests_and_a_roll_back_is_noted(database: str) -> None:
    async def check() -> None:
        await lay(database, bad_release())
        await catch_up(settings_for(database))
        alarms = await alarms_of(database)
        assert {(name, subject) for name, subject, *_ in alarms} >= {
            ("loss", "2"),
            ("loss_difference", "2,1"),
        }
        assert not [a for a in alarms if a[1] == "1" and a[0] != "loss_adwin"]
        remedies = await rows_of(database, "SELECT kind, state, request FROM remedies")
        assert {(r["kind"], r["state"]) for r in remedies} == {("roll_back", "observed")}

    asyncio.run(check())


def test_any_split_into_turns_gives_the_same_alarms(database: str, empty_database: str) -> None:
    async def check() -> None:
        await upgrade(sqlalchemy_url(empty_database))
        for url, turn_rows in ((database, 1), (empty_database, 100_000)):
            await lay(url, bad_release())
            turns = await catch_up(settings_for(url, turn_rows=turn_rows))
            assert turns == (13 if turn_rows == 1 else 1)
        assert await alarms_of(database) == await alarms_of(empty_database) != []

    asyncio.run(check())


def test_a_shipment_that_commits_late_is_not_stepped_over(database: str) -> None:
    async def check_late() -> None:
        rng = random.Random(1)
        late, early = await asyncpg.connect(database), await asyncpg.connect(database)
        await set_up_application(late, policies=GUARDED)
        ids = [prediction_id(START + timedelta(seconds=i), rng) for i in range(2)]
        rows = [Prediction(ids[i], START + timedelta(seconds=i), 1, 1) for i in range(2)]
        labels = [Feedback(ids[i], START + timedelta(seconds=9 + i), 0) for i in range(2)]
        transaction = late.transaction()
        await transaction.start()
        # The lower number and the older transaction id, but not committed yet.
        await ship(late, rows[:1], labels[:1])
        await ship(early, rows[1:], labels[1:])
        settings = settings_for(database)
        await catch_up(settings)
        assert await sums(database) == {}
        await transaction.commit()
        await catch_up(settings)
        assert await sums(database) == {("loss", "1"): (2, 2.0)}
        await late.close()
        await early.close()

    asyncio.run(check_late())


def test_a_label_before_its_prediction_waits_for_it(database: str) -> None:
    async def check() -> None:
        connection = await asyncpg.connect(database)
        await set_up_application(connection, policies=GUARDED)
        identifier = prediction_id(START, random.Random(1))
        settings = settings_for(database)
        await ship(connection, [], [Feedback(identifier, START + timedelta(seconds=1), 0)])
        await catch_up(settings)
        assert await sums(database) == {}
        await ship(connection, [Prediction(identifier, START, 1, 1)])
        await catch_up(settings)
        assert await sums(database) == {("loss", "1"): (1, 1.0)}
        await connection.close()

    asyncio.run(check())


@pytest.mark.parametrize("turn_rows", [1, 1000])
def test_of_repeated_and_corrected_labels_the_first_counts(database: str, turn_rows: int) -> None:
    async def check() -> None:
        connection = await asyncpg.connect(database)
        await set_up_application(connection, policies=GUARDED)
        identifier = prediction_id(START, random.Random(1))
        await ship(connection, [Prediction(identifier, START, 1, 1)])
        for second, label in ((1, 1), (2, 1), (3, 0)):
            at = START + timedelta(seconds=second)
            await ship(connection, [], [Feedback(identifier, at, label)])
        await catch_up(settings_for(database, turn_rows=turn_rows))
        assert await sums(database) == {("loss", "1"): (1, 0.0)}
        await connection.close()

    asyncio.run(check())


@pytest.mark.parametrize("turn_rows", [1, 1000])
def test_a_shadow_that_comes_after_its_label_is_paired_and_a_default_is_not_counted(
    database: str, turn_rows: int
) -> None:
    async def check() -> None:
        connection = await asyncpg.connect(database)
        await set_up_application(connection, policies=GUARDED)
        rng = random.Random(1)
        one, two = prediction_id(START, rng), prediction_id(START + timedelta(seconds=1), rng)
        later = START + timedelta(seconds=1)
        await ship(
            connection,
            [
                Prediction(one, START, 2, 1, revision=2),
                Prediction(two, later, 2, 1, DEFAULT, revision=2),
            ],
        )
        labels = [Feedback(i, START + timedelta(seconds=9), 0) for i in (one, two)]
        await ship(connection, [], labels)
        await ship(
            connection,
            [
                Prediction(one, START, 1, 0, SHADOW, revision=2),
                Prediction(two, later, 1, 0, SHADOW, revision=2),
            ],
        )
        await catch_up(settings_for(database, turn_rows=turn_rows))
        found = await sums(database)
        assert found["loss", "2"] == (1, 1.0)
        assert found["loss_difference", "2,1"] == (1, 1.0)
        assert found["shadow_loss", "1"] == (2, 0.0)
        await connection.close()

    asyncio.run(check())


def test_without_a_reference_the_centre_is_learned_first(database: str) -> None:
    async def check() -> None:
        await lay(database, bad_release(shipments=4), reference=False)
        await catch_up(settings_for(database))
        found = await rows_of(
            database,
            "SELECT w.name, s.status, s.status_reason FROM watch_states s"
            " JOIN watches w ON w.id = s.watch_id"
            " WHERE s.subject = '1' AND w.signal = 'loss' ORDER BY 1",
        )
        assert [(r["name"], r["status"], r["status_reason"]) for r in found] == [
            ("loss_adwin", "armed", None),
            ("loss_rollback", "learning", "learning: 200 of 500 rows"),
            ("loss_without_reference", "learning", "300 more labels are needed for the centre."),
        ]

    asyncio.run(check())


def test_what_an_open_transaction_holds_back_is_not_taken_for_silence(database: str) -> None:
    async def check() -> list[str]:
        story = Story(database)
        await story.begin(reference=1000)
        await story.live(4)
        other = await asyncpg.connect(database)
        async with other.transaction():
            await other.execute("SELECT pg_current_xact_id()")
            await story.live(1, patient=False)
        await other.close()
        await story.live(0.5)
        assert not await story.rows(UNREAD)
        return list(await story.texts())

    kinds = asyncio.run(check())
    assert not [kind for kind in kinds if kind.startswith("service.traffic")]


UNREAD = """
    SELECT FROM shipments s, monitor_cursors c
     WHERE (s.xact_id::text::bigint, s.id) > (c.xact_id, c.shipment_id)
"""
