"""A made record of several applications in common shipments, each with a bad release of its own."""

import json
import random
from dataclasses import replace
from typing import Any

import asyncpg

from tests.support.monitoring import GUARDED, STATISTIC, bad_release, rows_of
from tests.support.shipped import JOURNAL, add_reference, ship


async def lay_many(url: str, applications: int = 4, *, shipments: int = 20, rows: int = 40) -> None:
    """Write applications 1, 2, ... with two versions each, and shipments that hold rows of all."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("INSERT INTO journals (id) VALUES ($1)", JOURNAL)
        made = []
        for number in range(1, applications + 1):
            await _set_up(connection, number)
            first = 2 * number - 1
            release = bad_release(seed=number, shipments=shipments, rows=rows)
            made.append(
                [
                    (
                        [
                            replace(p, application_id=number, version_id=first + p.version_id - 1)
                            for p in predictions
                        ],
                        labels,
                    )
                    for predictions, labels in release
                ]
            )
        for parts in zip(*made, strict=True):
            await ship(
                connection,
                [p for predictions, _ in parts for p in predictions],
                [f for _, feedback in parts for f in feedback],
            )
    finally:
        await connection.close()


async def _set_up(connection: asyncpg.Connection, number: int) -> None:
    await connection.execute(
        "INSERT INTO applications (id, name, task, latency_objective_ms)"
        " VALUES ($1, $2, 'binary', 100)",
        number,
        f"market{number}",
    )
    await connection.execute(
        "INSERT INTO input_schemas (id, application_id, schema, features, encoding)"
        " VALUES ($1, $1, '{}', '[]', 'float64')",
        number,
    )
    model = f"price{number}"
    await connection.execute("INSERT INTO models (id, name) VALUES ($1, $2)", number, model)
    rng = random.Random(number)
    outputs = [int(rng.random() < 0.1) for _ in range(1000)]
    for version in (1, 2):
        identifier = 2 * (number - 1) + version
        await connection.execute(
            "INSERT INTO versions (id, model_id, version, framework, manifest, digest, size_bytes,"
            " artefact) VALUES ($1, $2, $3, 'python', '{}', $4, 1, $4)",
            identifier,
            number,
            str(version),
            f"{number}-{version}",
        )
        await add_reference(connection, identifier, outputs, [0] * 1000)
    for revision, policy in enumerate(GUARDED, 1):
        await connection.execute(
            "INSERT INTO revisions (application_id, revision, kind, policy, input_schema_id, actor)"
            " VALUES ($1, $2, 'change', $3, $1, 'test')",
            number,
            revision,
            json.dumps(policy).replace("price:", f"{model}:"),
        )


async def conclusions_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """All that monitors concluded, without what differs between two runs.

    Predictions whose delays are compared wait for their turn, by how far the record had been read
    when the last label came: a run in other turns has come less far with the last of them. What it
    concludes of them, its alarms, is the same.
    """
    questions = {
        "alarms": "SELECT a.application_id, w.name, a.subject, a.observation, a.prediction_id,"
        " round(a.statistic::numeric, 6) AS statistic, a.alarmed_at FROM alarms a"
        " JOIN watches w ON w.id = a.watch_id ORDER BY 1, 2, 3, 4",
        "alerts": "SELECT application_id, subject, kind, state FROM alerts ORDER BY 1, 2, 3",
        "states": "SELECT w.application_id, w.name, s.subject, s.status, s.observations,"
        f" {STATISTIC} FROM watch_states s"
        " JOIN watches w ON w.id = s.watch_id WHERE w.name <> 'label_delay' ORDER BY 1, 2, 3",
        "points": "SELECT application_id, signal, subject, at, n,"
        " round(total::numeric, 6) AS total FROM signal_points ORDER BY 1, 2, 3, 4",
        "hours": "SELECT application_id, signal, subject, step_s, at, n,"
        " round(total::numeric, 6) AS total FROM signal_summaries ORDER BY 1, 2, 3, 4, 5",
        "clocks": "SELECT application_id, name, clock_at FROM watches ORDER BY 1, 2",
    }
    return {name: await rows_of(url, question) for name, question in questions.items()}
