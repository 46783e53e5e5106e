"""Reads the record and the monitor's conclusions back from the service's database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import numpy as np
from numpy.typing import NDArray

from leadsman.demo.market import FEATURES
from leadsman.errors import CommandError

DEFAULT, SHADOW = 1, 4
"""Flags of a recorded answer."""

_ANSWERS = """
    SELECT p.id, p.shipment, p.flags, p.output, p.predicted_at, p.latency_us, p.revision,
           m.name || ':' || v.version AS version
      FROM predictions p
      JOIN applications a ON a.id = p.application_id
 LEFT JOIN versions v ON v.id = p.version_id
 LEFT JOIN models m ON m.id = v.model_id
     WHERE a.name = $1 AND p.shipment > $2
  ORDER BY p.shipment, p.predicted_at, p.id, p.flags
"""
_LABELS = """
    SELECT prediction_id, label, shipment FROM feedback WHERE shipment > $1 ORDER BY shipment, id
"""
_ALARMS = """
    SELECT al.id, al.subject, al.tier, al.alarmed_at, al.observation, al.prediction_id,
           al.onset_prediction_id, al.statistic, al.threshold, al.evidence,
           w.name AS watch, w.detector, w.remedy
      FROM alarms al
      JOIN watches w ON w.id = al.watch_id
      JOIN applications a ON a.id = al.application_id
     WHERE a.name = $1 AND al.id > $2 ORDER BY al.id
"""
_REMEDIES = """
    SELECT r.* FROM remedies r JOIN applications a ON a.id = r.application_id
     WHERE a.name = $1 ORDER BY r.id
"""
_REVISIONS = """
    SELECT r.* FROM revisions r JOIN applications a ON a.id = r.application_id
     WHERE a.name = $1 ORDER BY r.revision
"""
_STATES = """
    SELECT s.*, w.name AS watch, w.tier, w.detector
      FROM watch_states s
      JOIN watches w ON w.id = s.watch_id
      JOIN applications a ON a.id = w.application_id
     WHERE a.name = $1 ORDER BY w.id, s.subject
"""
_WATCHES = """
    SELECT w.name, w.signal, w.detector, w.tier, w.remedy, w.settings, w.enabled
      FROM watches w JOIN applications a ON a.id = w.application_id
     WHERE a.name = $1 ORDER BY w.id
"""
_VERSIONS = """
    SELECT v.id, m.name || ':' || v.version AS version
      FROM versions v JOIN models m ON m.id = v.model_id
"""
_UNREAD = """
    SELECT count(*) FROM shipments s
     WHERE NOT EXISTS (SELECT FROM monitor_cursors c
                        WHERE (c.xact_id, c.shipment_id) >= (s.xact_id::text::bigint, s.id))
"""
_NEWEST_LABELS = """
    SELECT prediction_id, label FROM feedback ORDER BY received_at DESC, id DESC LIMIT $1
"""
_INPUTS_SINCE = """
    SELECT p.id, p.input FROM predictions p JOIN applications a ON a.id = p.application_id
     WHERE a.name = $1 AND p.flags & 4 = 0 AND p.predicted_at >= $2
  ORDER BY p.predicted_at, p.id
"""

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One recorded answer of one version."""

    prediction_id: str
    shipment: int
    flags: int
    output: Any
    version: str | None
    revision: int
    answered_at: datetime

    @property
    def is_shadow(self) -> bool:
        """Whether no client saw it."""
        return bool(self.flags & SHADOW)

    @property
    def is_default(self) -> bool:
        """Whether no model made it."""
        return bool(self.flags & DEFAULT)


class Record:
    """One connection to the database of a running service."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", application: str) -> None:
        self._connection = connection
        self._application = application

    async def answers(self, after: int = 0) -> list[Answer]:
        """Read the answers of groups after one, in the order in which they came."""
        rows = await self._connection.fetch(_ANSWERS, self._application, after)
        return [
            Answer(
                str(row["id"]),
                row["shipment"],
                row["flags"],
                None if row["output"] is None else json.loads(row["output"]),
                row["version"],
                row["revision"],
                row["predicted_at"] + timedelta(microseconds=row["latency_us"]),
            )
            for row in rows
        ]

    async def labels(self, after: int = 0) -> list[tuple[str, Any, int]]:
        """Read prediction, label and group of all feedback after a group."""
        rows = await self._connection.fetch(_LABELS, after)
        return [(str(r["prediction_id"]), json.loads(r["label"]), r["shipment"]) for r in rows]

    async def alarms(self, after: int = 0) -> list[Json]:
        """Read the alarms after one."""
        return await self._read(_ALARMS, after)

    async def remedies(self) -> list[Json]:
        """Read every remedy."""
        return await self._read(_REMEDIES)

    async def revisions(self) -> list[Json]:
        """Read the history of the route."""
        return await self._read(_REVISIONS)

    async def watch_states(self) -> list[Json]:
        """Read what every detector concluded so far."""
        return await self._read(_STATES)

    async def watches(self) -> list[Json]:
        """Read what is watched, and how."""
        return await self._read(_WATCHES)

    async def versions(self) -> dict[str, str]:
        """Read the names of versions by number, the number as text."""
        return {str(r["id"]): r["version"] for r in await self._connection.fetch(_VERSIONS)}

    async def unread(self) -> int:
        """Count the groups that the monitor has not read yet."""
        return int(await self._connection.fetchval(_UNREAD))

    async def recent(self, rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Read the newest labelled rows in time order: what a trainer trains on."""
        newest = await self._connection.fetch(_NEWEST_LABELS, rows)
        labels = {row["prediction_id"]: int(json.loads(row["label"])) for row in newest}
        if not labels:
            return np.empty((0, len(FEATURES))), np.empty(0, np.int64)
        # The first 48 bits of an id are the millisecond of its prediction.
        first = datetime.fromtimestamp(min(one.int >> 80 for one in labels) / 1000, UTC)
        found = await self._connection.fetch(_INPUTS_SINCE, self._application, first)
        known = [row for row in found if row["id"] in labels]
        inputs = np.frombuffer(b"".join(row["input"] for row in known), "<f8")
        answers = np.array([labels[row["id"]] for row in known], np.int64)
        return inputs.reshape(-1, len(FEATURES)).copy(), answers

    async def _read(self, query: str, *more: object) -> list[Json]:
        rows = await self._connection.fetch(query, self._application, *more)
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


def read(data_dir: Path, application: str, ask: Callable[[Record], Awaitable[T]]) -> T:
    """Open the record of the service on a data folder, ask it something, close it."""

    async def run() -> T:
        connection = await asyncpg.connect(database_url(data_dir))
        try:
            return await ask(Record(connection, application))
        finally:
            await connection.close()

    return asyncio.run(run())


def database_url(data_dir: Path) -> str:
    """Return the database that `leadsman up` left in its data folder."""
    file = data_dir / "database_url"
    if not file.is_file():
        raise CommandError(f"{data_dir} is no data folder of a running `leadsman up`")
    return file.read_text().strip()


def _plain(value: Any) -> Any:
    """Read JSON columns, which the driver gives as text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value
