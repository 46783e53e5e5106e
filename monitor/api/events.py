"""Server-sent events: that something changed, so that a page asks anew."""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from monitor.api.context import Reader, StateOf
from monitor.api.problems import PROBLEMS
from monitor.changes import Changes
from monitor.store.database import DATABASE_AWAY

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)

LOOK_S = 1.0
"""Seconds between two looks."""
LIFE_S = 300
"""Seconds after which a stream ends and is asked for anew: a revoked key hears no more."""
BEAT = 15
"""Looks without a change after which a comment keeps the connection open."""


@router.get(
    "/events",
    summary="Hear of changes",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "Events `changed`, whose data name what changed.",
        }
    },
)
async def events(request: Request, state: StateOf, _: Reader) -> StreamingResponse:
    """A stream of server-sent events. Data of `changed`: any of data, alerts, remedies, routes."""
    held = request.app.state
    if not hasattr(held, "changes"):
        held.changes = Changes(state.engine, LOOK_S)
    return StreamingResponse(
        _stream(held.changes),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(changes: Changes) -> AsyncIterator[str]:
    yield "retry: 2000\nevent: hello\ndata: {}\n\n"
    seen = None
    for look in range(round(LIFE_S / LOOK_S)):
        try:
            now = await changes.look()
        except DATABASE_AWAY:
            yield "event: away\ndata: {}\n\n"
            return
        if seen is not None and now != seen:
            parts = [name for name, value in now.items() if seen.get(name) != value]
            yield f"event: changed\ndata: {json.dumps(parts)}\n\n"
        elif look % BEAT == 0:
            yield ": beat\n\n"
        seen = now
        await asyncio.sleep(LOOK_S)
