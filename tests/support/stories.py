"""An application's life on a made record: traffic and labels as serving would have shipped them.

A story lays stretches of traffic, each in a world of its own, and lets the real monitor read them.
Its clock is the record's, so days pass in a second.
"""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.alerts.kinds import segment_of
from monitor.alerts.telling import alert_data
from monitor.alerts.text import text_of
from monitor.evaluation.memory import Memory
from monitor.loop import turn_once
from monitor.settings import Mode, Settings
from monitor.store.alerts import read_alerts
from monitor.store.database import connect
from monitor.store.standing import read_standing_of
from serving.store.partitions import ensure_partitions
from tests.support.shipped import JOURNAL, add_revision

Floats = NDArray[np.float64]

FEATURES = ("income", "debt", "age")
SCHEMA = {
    "type": "object",
    "properties": {
        "income": {"type": "number"},
        "debt": {"type": ["number", "null"]},
        "age": {"type": "number", "minimum": 18, "maximum": 100},
    },
    "required": ["income", "age"],
}
REGIONS = ("north", "south", "west")
START = datetime(2026, 11, 2, tzinfo=UTC)
"""A Monday, midnight."""
DEFAULT, SHADOW = 1, 4


@dataclass(frozen=True)
class World:
    """What the traffic is like for a while."""

    rows_an_hour: float = 400.0
    swing: float = 0.0
    """Share by which the traffic's mixture swings in the course of a day."""
    burst: int = 1
    """Requests in a row of one customer, who asks the same each time."""
    debt_unit: float = 1.0
    """Someone changes the unit of a feature."""
    debt_missing: float = 0.0
    """Share of rows without the feature."""
    flipped_region: str | None = None
    """A region whose labels come out the other way round."""
    wear: Callable[[Floats], Floats] | None = None
    """Share by which the true rule has moved, by hour of the stretch."""
    label_delay: timedelta = timedelta(minutes=30)
    labels: bool = True
    """Whether labels arrive."""
    latency_ms: float = 12.0
    default_share: float = 0.0


@dataclass(frozen=True)
class Model:
    """A version's skill: the share of its answers that are turned round at random."""

    noise: float = 0.08


@dataclass
class Story:
    """One application, `loans`, and its record so far."""

    url: str
    seed: int = 1
    mode: Mode = Mode.OBSERVE
    settings: dict[str, Any] = field(default_factory=dict)
    models: dict[int, Model] = field(default_factory=lambda: {1: Model(), 2: Model()})
    at: datetime = START
    revision: int = 1
    route: tuple[int, tuple[int, ...]] = (1, ())
    """The champion's number and those of its shadows."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._memory = Memory()
        self._late: list[tuple[datetime, UUID, int]] = []

    async def begin(self, *, reference: int = 9600, world: World | None = None) -> None:
        """Register the application with its versions, their references and the first route."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(
                "INSERT INTO applications (id, name, task, latency_objective_ms, default_output)"
                " VALUES (1, 'loans', 'binary', 100, '0')"
            )
            await connection.execute(
                "INSERT INTO input_schemas (id, application_id, schema, features, encoding)"
                " VALUES (1, 1, $1, $2, 'float64')",
                json.dumps(SCHEMA), json.dumps(FEATURES),
            )  # fmt: skip
            await connection.execute("INSERT INTO models (id, name) VALUES (1, 'loan')")
            rows, labels = self._history(reference, world or World())
            for number, model in self.models.items():
                await connection.execute(
                    "INSERT INTO versions (id, model_id, version, framework, manifest, digest,"
                    " size_bytes, artefact) VALUES ($1, 1, $2, 'python', '{}', $2, 1, $2)",
                    number, str(number),
                )  # fmt: skip
                inputs = [[None if math.isnan(v) else v for v in row] for row in rows.tolist()]
                await connection.execute(
                    "INSERT INTO version_references (version_id, features, inputs, labels, outputs)"
                    " VALUES ($1, $2, $3, $4, $5)",
                    number, json.dumps(FEATURES), json.dumps(inputs), json.dumps(labels.tolist()),
                    json.dumps(self._answer(rows, model)[0].tolist()),
                )  # fmt: skip
            await add_revision(connection, {"kind": "single", "champion": "loan:1"})
            await connection.execute("INSERT INTO journals (id) VALUES ($1)", JOURNAL)
        finally:
            await connection.close()

    async def release(self, champion: int, *shadows: int) -> None:
        """Change the route: a champion, with others in its shadow."""
        policy: dict[str, Any] = {"kind": "single", "champion": f"loan:{champion}"}
        if shadows:
            policy = {
                "kind": "shadow",
                "champion": f"loan:{champion}",
                "challengers": [f"loan:{one}" for one in shadows],
            }
        connection = await asyncpg.connect(self.url)
        try:
            self.revision = await add_revision(connection, policy)
        finally:
            await connection.close()
        self.route = (champion, shadows)

    async def live(self, hours: float, world: World | None = None, *, patient: bool = True) -> None:
        """Lay a stretch of traffic and labels, in shipments of half an hour; the monitor reads.

        Another test's open transaction holds a shipment back for a moment: who is patient waits.
        """
        world = world or World()
        step = timedelta(minutes=30)
        begun = self.at
        chosen = {"remedy_mode": self.mode, "series_step": timedelta(minutes=5), **self.settings}
        settings = Settings(database_url=self.url, **chosen)
        engine = connect(self.url)
        connection = await asyncpg.connect(self.url)
        try:
            for _ in range(round(hours * 2)):
                await self._ship(connection, world, step, (self.at - begun) / timedelta(hours=1))
                self.at += step
                await self._read(engine, settings, patient=patient)
        finally:
            await connection.close()
            await engine.dispose()

    async def _read(self, engine: AsyncEngine, settings: Settings, *, patient: bool) -> None:
        while await turn_once(engine, settings, lambda: self.at, memory=self._memory) is None:
            if not patient:
                return
            await asyncio.sleep(0.05)

    async def watch_segments(self, by: str, *, learn: int = 500) -> None:
        """Add a watch of the loss in each segment; what is normal there comes from live labels."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(
                "INSERT INTO watches (application_id, name, signal, detector, tier, settings,"
                " remedy, mode, origin) VALUES (1, 'loss_by_segment', 'loss', 'growing-pool',"
                " 'page', $1, 'notify', 'observe', 'operator')",
                json.dumps({"segments": {"by": by}, "learn": learn}),
            )
        finally:
            await connection.close()

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query on the database."""
        connection = await asyncpg.connect(self.url)
        try:
            return [dict(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    def _history(self, count: int, world: World) -> tuple[Floats, NDArray[np.int64]]:
        """Rows and labels of the days before the story, half an hour after half an hour."""
        size = round(world.rows_an_hour / 2)
        begin = self.at
        parts = []
        for back in range(-(-count // size), 0, -1):
            self.at = begin - timedelta(minutes=30 * back)
            parts.append(self._draw(size, np.zeros(size), world)[:2])
        self.at = begin
        return (
            np.concatenate([rows for rows, _ in parts]),
            np.concatenate([labels for _, labels in parts]),
        )

    async def texts(self) -> dict[str, str]:
        """What people were told of each kind of alert, as it stands at last."""
        engine = connect(self.url)
        try:
            async with engine.connect() as connection:
                found = await read_alerts(connection, application_id=1)
                standing = await read_standing_of(connection, found)
                return {
                    f"{alert.kind}|{segment_of(alert.subject) or alert.subject}": text_of(
                        alert_data(alert, "loans", standing[alert.id])
                    )
                    for alert in found
                }
        finally:
            await engine.dispose()

    def _draw(
        self, count: int, hours: Floats, world: World
    ) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows of features, labels, regions and customers."""
        rng, customers = self.rng, -(-count // world.burst)
        of_day = (self.at.hour + self.at.minute / 60) / 24
        lift = world.swing * np.sin(2 * np.pi * of_day)
        income = rng.gamma(4.0, 12.0, customers) * (1 + lift)
        debt = rng.gamma(2.0, 10.0, customers)
        age = rng.uniform(21, 75, customers).round()
        region = rng.integers(0, len(REGIONS), customers)
        who = np.repeat(np.arange(customers), world.burst)[:count]
        rows = np.stack([income, debt, age], axis=1)[who]
        weight = 1.0 - (world.wear(hours) if world.wear else np.zeros(count))
        risk = weight * (rows[:, 1] - 0.4 * rows[:, 0]) + (1 - weight) * (rows[:, 2] - 48) / 2
        labels = (risk + rng.normal(0, 4, count) > 0).astype(np.int64)
        if world.flipped_region is not None:
            flipped = region[who] == REGIONS.index(world.flipped_region)
            labels = np.where(flipped, 1 - labels, labels)
        return rows, labels, region[who], who

    def _answer(self, rows: Floats, model: Model) -> tuple[NDArray[np.int64], Floats]:
        """What a version says, and how sure it is of class 1."""
        debt = np.where(np.isnan(rows[:, 1]), 0.0, rows[:, 1])
        sure = 1 / (1 + np.exp(-(debt - 0.4 * rows[:, 0]) / 4))
        turned = self.rng.random(len(rows)) < model.noise
        sure = np.where(turned, 1 - sure, sure)
        return (sure > 0.5).astype(np.int64), sure

    async def _ship(
        self, connection: asyncpg.Connection, world: World, step: timedelta, hour: float
    ) -> None:
        hours = step / timedelta(hours=1)
        count = int(self.rng.poisson(world.rows_an_hour * hours))
        since = np.sort(self.rng.random(count)) * step.total_seconds()
        rows, labels, regions, who = self._draw(count, hour + since / 3600, world)
        rows[:, 1] *= world.debt_unit
        rows[self.rng.random(count) < world.debt_missing, 1] = np.nan
        moments = [self.at + timedelta(seconds=float(one)) for one in since]
        ids = [self._id(moment) for moment in moments]
        defaults = self.rng.random(count) < world.default_share
        records = []
        champion, shadows = self.route
        for number, flag in ((champion, 0), *((one, SHADOW) for one in shadows)):
            outputs, sure = self._answer(rows, self.models[number])
            for i, moment in enumerate(moments):
                is_default = bool(defaults[i]) and not flag
                if flag and defaults[i]:
                    continue
                latency = int(1000 * world.latency_ms * self.rng.gamma(9.0, 1 / 9.0))
                records.append(
                    (
                        moment, ids[i], number, 1, self.revision, DEFAULT if is_default else flag,
                        1 if is_default else None, 100_000 if is_default else latency, 1.0,
                        rows[i].astype("<f8").tobytes(),
                        b"0" if is_default else str(outputs[i]).encode(),
                        None if is_default
                        else np.array([1 - sure[i], sure[i]], "<f8").tobytes(),
                        json.dumps({"region": REGIONS[regions[i]], "customer": f"c{who[i]}"}),
                    )
                )  # fmt: skip
        if world.labels:
            late = world.label_delay
            self._late += [
                (moment + late * float(luck), one, int(label))
                for moment, one, label, luck in zip(
                    moments, ids, labels, self.rng.gamma(4.0, 0.25, count), strict=True
                )
            ]
        until = self.at + step
        due = sorted(one for one in self._late if one[0] < until)
        self._late = [one for one in self._late if one[0] >= until]
        await _write(connection, records, due, self.rng)

    def _id(self, moment: datetime) -> UUID:
        millisecond = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        low = int.from_bytes(self.rng.bytes(8), "big") >> 2
        return UUID(int=millisecond << 80 | 0x7 << 76 | (low & 0xFFF) << 64 | 0b10 << 62 | low)


async def _write(
    connection: asyncpg.Connection,
    predictions: Sequence[tuple[Any, ...]],
    labels: Sequence[tuple[datetime, UUID, int]],
    rng: np.random.Generator,
) -> None:
    """One shipment."""
    days = {one[0].date() for one in predictions} | {one[0].date() for one in labels}
    await ensure_partitions(connection, sorted(days))
    feedback = [
        (at, UUID(bytes=rng.bytes(16)), one, str(label).encode()) for at, one, label in labels
    ]
    async with connection.transaction():
        number: int = await connection.fetchval(
            "INSERT INTO shipments (journal_id, predictions, predicted_from, predicted_to,"
            " feedback, received_from, received_to) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " RETURNING id",
            JOURNAL,
            len(predictions),
            min((one[0] for one in predictions), default=None),
            max((one[0] for one in predictions), default=None),
            len(feedback),
            min((one[0] for one in feedback), default=None),
            max((one[0] for one in feedback), default=None),
        )
        await connection.execute(f"SET LOCAL leadsman.shipment = '{number}'")
        await connection.copy_records_to_table(
            "predictions",
            columns=[
                "predicted_at", "id", "version_id", "application_id", "revision", "flags",
                "default_reason", "latency_us", "propensity", "input", "output", "scores",
                "context",
            ],
            records=predictions,
        )  # fmt: skip
        await connection.copy_records_to_table(
            "feedback", columns=["received_at", "id", "prediction_id", "label"], records=feedback
        )


def changed(world: World, **changes: Any) -> World:
    """The same world but for some things."""
    return replace(world, **changes)
