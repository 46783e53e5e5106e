"""What one connection may hold: a head of some length, for as long as its request goes on coming.

uvicorn keeps a head of any length and waits for the rest of a request for ever, whoever sends it
and with no key: one client could fill the memory, hold up the event loop (a value that comes in
many pieces is copied with each of them), or use up the process's descriptors.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from serving.api.problems import problem_response
from serving.errors import HeadTooLargeError, ServingError

HEAD_LIMIT = HIGH_WATER_LIMIT
"""Bytes of a request's line and headers; also of what stands between two pieces of a body."""
STALLED_SECONDS = 60.0
"""Time for a whole head, a short body, or `LEAST_BYTES` of a long one."""
LEAST_BYTES = 4096
"""A body that comes more slowly than so much in `STALLED_SECONDS` is not waited for."""


class BoundedConnection(HttpToolsProtocol):
    """One connection that ends where its client sends too much, or nothing more."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn makes it."""
        super().__init__(config, server_state, app_state, _loop)
        self._unread = 0
        """Bytes since the last head or piece of a body: of a head that is not complete."""
        self._taken = 0
        """Bytes of bodies."""
        self._seen: tuple[object, float] = (None, 0.0)
        """What was waited for when somebody last looked, and since when."""

    def data_received(self, data: bytes) -> None:
        """Read on, unless it is too much."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_LIMIT and not self.transport.is_closing():
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                self.transport.write(self._problem(HeadTooLargeError(HEAD_LIMIT), False))
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin with a request."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unread = 0
        self._taken += len(body)
        super().on_body(body)

    def awaited(self) -> object:
        """What the client owes: equal as long as it sends nothing; None where it waits for us."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return self if cycle is None else cycle
        if cycle.more_body and not self.flow.read_paused:
            return (cycle, self._taken // LEAST_BYTES)
        return None

    def end_if_stalled(self, now: float) -> None:
        """Close the connection if its client has owed the same for too long."""
        awaited = self.awaited()
        if awaited is None or awaited != self._seen[0]:
            self._seen = (awaited, now)
        elif now - self._seen[1] >= STALLED_SECONDS:
            self.transport.abort()

    def _problem(self, error: ServingError, keep_alive: bool) -> bytes:
        response: Response = problem_response(error)
        headers = [*self.server_state.default_headers, *response.raw_headers]
        if not keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"%s%s\r\n%s" % (STATUS_LINE[response.status_code], lines, response.body)


def end_stalled(connections: Iterable[object], now: float) -> None:
    """Look at every connection; to be called every few seconds."""
    for one in list(connections):
        if isinstance(one, BoundedConnection):
            one.end_if_stalled(now)
