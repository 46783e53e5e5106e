"""A replay says what the live monitor said, over the record and over a file of the same rows."""

import asyncio
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from monitor.replay.replay import replay_file, replay_record, replay_record_with
from monitor.watches.entries import ReplaySettings
from tests.support.monitoring import catch_up, rows_of, settings_for
from tests.support.past_rows import Columns, made_rows, write
from tests.support.shipped import Feedback, Prediction, prediction_id, set_up_application, ship

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "number"}, "income": {"type": "number"}},
    "required": ["age", "income"],
}
REFERENCE = 1500
REGIONS = {"name": "regions", "settings": {"segments": {"by": "context.region"}, "block": 5}}


def changing_rows() -> Columns:
    """Rows of which each part differs in another way."""
    rows = made_rows(5000)
    rng = np.random.default_rng(5)
    rows["income"] = rng.normal(3000, 500, 5000).tolist()
    for name in ("city", "member"):
        del rows[name]
    for row in range(2500, 5000):
        rows["age"][row] += 6
    for row in range(3500, 5000):
        rows["income"][row] = float("nan")
    for row in range(3800, 5000, 3):
        rows["label"][row] = 1 - rows["output"][row]
    return rows


async def lay(url: str, rows: Columns) -> None:
    """Write the rows as serving does, the first of them as the version's reference."""
    connection = await asyncpg.connect(url)
    ids = random.Random(3)
    await set_up_application(connection, versions=("1",))
    await connection.execute(
        "UPDATE input_schemas SET schema = $1, features = $2",
        json.dumps(SCHEMA),
        json.dumps(["age", "income"]),
    )
    inputs = np.stack([rows["age"], rows["income"]], axis=1)
    await connection.execute(
        "INSERT INTO version_references (version_id, features, inputs, labels, outputs)"
        ' VALUES (1, \'["age", "income"]\', $1, $2, $3)',
        json.dumps(inputs[:REFERENCE].tolist()),
        json.dumps(rows["label"][:REFERENCE]),
        json.dumps(rows["output"][:REFERENCE]),
    )
    waiting: list[Feedback] = []
    for start in range(REFERENCE, len(rows["label"]), 250):
        predictions, labels = [], []
        for row in range(start, min(start + 250, len(rows["label"]))):
            at = rows["predicted_at"][row]
            while waiting and waiting[0].at <= at:
                labels.append(waiting.pop(0))
            identifier = prediction_id(at, ids)
            score = rows["score"][row]
            predictions.append(
                Prediction(
                    identifier,
                    at,
                    1,
                    rows["output"][row],
                    input=inputs[row].tobytes(),
                    context={"region": rows["context.region"][row]},
                    scores=np.array([1 - score, score]).tobytes(),
                )
            )
            waiting.append(Feedback(identifier, rows["labelled_at"][row], rows["label"][row]))
        await ship(connection, predictions, labels)
    await ship(connection, [], waiting)
    await connection.execute(
        "INSERT INTO watches (application_id, name, signal, detector, tier, settings, remedy,"
        " mode, origin) VALUES (1, 'regions', 'loss', 'bounded-mean', 'page', $1, 'notify',"
        " 'observe', 'operator')",
        json.dumps(REGIONS["settings"]),
    )
    await connection.close()


Told = tuple[str, str, str | None, int, float]


def told(alarms: list[dict[str, Any]]) -> list[Told]:
    """What must not differ, in an order of its own."""
    return sorted(
        (a["watch"], a["signal"], a["segment"], a["observation"], round(a["statistic"], 6))
        for a in alarms
        # Nothing watched for silence in the live monitor: that goes by the clock on the wall.
        if a["watch"] not in ("traffic", "label_coverage")
    )


def test_live_record_and_file_agree_on_every_alarm(database: str, tmp_path: Path) -> None:
    rows = changing_rows()

    async def check() -> None:
        await lay(database, rows)
        settings = settings_for(database, turn_rows=700)
        await catch_up(settings)
        live = await rows_of(
            database,
            "SELECT w.name AS watch, evidence->>'signal' AS signal,"
            " evidence->>'segment' AS segment,"
            " observation, statistic FROM alarms a JOIN watches w ON w.id = a.watch_id",
        )
        one = await replay_record(settings, "market")
        given = ReplaySettings.model_validate(
            {"watches": [REGIONS], "defaults": True, "reference_rows": REFERENCE}
        )
        other = replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)
        assert {"feature.age", "quality.income", "loss"} <= {a["signal"] for a in one.alarms}
        assert "region=EU" in {a["segment"] for a in one.alarms}
        assert told(live) == told(one.alarms) == told(other.alarms)
        # Rows of the record begin behind the reference.
        placed = {(a["watch"], a["signal"], a["observation"]): a["row"] for a in other.alarms}
        for alarm in one.alarms:
            key = (alarm["watch"], alarm["signal"], alarm["observation"])
            assert alarm["row"] + REFERENCE == placed[key], key
        assert one.rows == len(rows["label"]) - REFERENCE

    asyncio.run(check())


def test_a_stretch_of_the_record_is_replayed_under_two_configurations(database: str) -> None:
    rows = changing_rows()

    async def check() -> None:
        await lay(database, rows)
        settings = settings_for(database, turn_rows=700)
        await catch_up(settings)
        start = rows["predicted_at"][2000]
        end = rows["predicted_at"][4500]
        only_loss = ReplaySettings.model_validate({"watches": [{"name": "mine"}]})
        before = await rows_of(database, "SELECT * FROM watch_states ORDER BY watch_id, subject")
        mine, own = await replay_record_with(
            settings, "market", [only_loss, None], start=start, end=end, changes=[500, 1800]
        )
        assert mine.rows == own.rows == 2500
        assert {a["watch"] for a in mine.alarms} == {"mine"}
        age = next(a for a in own.alarms if a["signal"] == "feature.age")
        assert 500 <= age["row"] < 700
        assert own.changes[0]["delay_rows"] == age["row"] - 500
        assert mine.changes[0]["delay_rows"] is None
        assert mine.changes[1]["at"] == rows["predicted_at"][3800].isoformat()
        assert 0 < mine.changes[1]["delay_rows"] < 300
        (loss,) = mine.watches
        # Labels of the last five minutes came after the end, those of the five before the start.
        assert abs(loss["observations"] - 2500) <= 1
        after = await rows_of(database, "SELECT * FROM watch_states ORDER BY watch_id, subject")
        assert before == after

    asyncio.run(check())


def test_days_before_a_replay_begins_are_not_read(database: str) -> None:
    async def check() -> None:
        await lay(database, changing_rows())
        settings = settings_for(database)
        await catch_up(settings)
        late = made_rows(5000)["predicted_at"][-1] + timedelta(days=300)
        report = await replay_record(settings, "market", start=late)
        assert (report.rows, report.alarms) == (0, [])
        assert {one["status"] for one in report.watches} == {"idle"}

    asyncio.run(check())
