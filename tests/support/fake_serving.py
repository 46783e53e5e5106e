"""Serving's admin API as remedies see it, on a real socket: it keeps its routes in the tables that
serving would write, and fails as a test tells it."""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg

from tests.support.http_server import Call

Mood = Literal["does", "loses", "away", "refuses"]
"""Does it; does it and loses the answer; is away before it does it; will not do it."""


@dataclass(slots=True)
class FakeServing:
    """Answers changes of the route of the application `market`, one mood a change."""

    url: str
    moods: deque[Mood] = field(default_factory=deque)
    """How the next changes go; `does` where nothing is said."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the changes that were made."""
    known: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """Answers by idempotency key."""

    def __call__(self, call: Call) -> tuple[int, Any]:
        """Answer a call."""
        return asyncio.run(self._answer(call))

    async def _answer(self, call: Call) -> tuple[int, Any]:
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                return await self._within(connection, call)
        finally:
            await connection.close()

    async def _within(self, connection: asyncpg.Connection, call: Call) -> tuple[int, Any]:
        current: int = await connection.fetchval(
            "SELECT max(revision) FROM revisions WHERE application_id = 1"
        )
        if call.method == "GET":
            return 200, {"application": "market", "revision": current}
        mood = self.moods.popleft() if self.moods else "does"
        if mood == "away":
            return 503, {"code": "starting", "detail": "not yet"}
        key = call.headers["idempotency-key"]
        if key in self.known:
            return self.known[key]
        if mood == "refuses":
            return 422, {"code": "version_failed_to_start", "detail": "its last words"}
        if call.body["expected_revision"] != current:
            return 409, {"code": "revision_moved", "detail": f"revision {current} is in force"}
        self.known[key] = 200, await self._change(connection, call)
        self.changes.append(call.body)
        return (500, {"code": "internal", "detail": "died"}) if mood == "loses" else self.known[key]

    async def _change(self, connection: asyncpg.Connection, call: Call) -> dict[str, Any]:
        restores = call.body.get("to_revision")
        policy = call.body.get("policy")
        if policy is None:
            policy = json.loads(
                await connection.fetchval(
                    "SELECT policy FROM revisions WHERE application_id = 1 AND revision = $1",
                    restores,
                )
            )
        number: int = await connection.fetchval(
            "INSERT INTO revisions (application_id, revision, kind, restores, policy,"
            " input_schema_id, actor, reason, evidence)"
            " SELECT 1, max(revision) + 1, $1, $2, $3, 1, 'monitor', $4, $5 FROM revisions"
            " WHERE application_id = 1 RETURNING revision",
            "change" if restores is None else "rollback",
            restores,
            json.dumps(policy),
            call.body.get("reason"),
            json.dumps(call.body["evidence"]),
        )
        return {"application": "market", "revision": number}
