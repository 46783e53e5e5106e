"""The HTTP server of one process."""

import asyncio
import contextlib
import resource
import socket

import uvicorn

from serving.api.connection import end_stalled
from serving.api.prediction_protocol import PredictionProtocol
from serving.app import create_api
from serving.collector import spare_what_stays
from serving.settings import Settings
from serving.workers import listener

STARTUP_FAILED = 3
"""Exit status where the process could not begin to answer."""
CONNECTIONS = 65_536
"""Descriptors that a process asks for, where the system allows it."""
LOOK_EVERY = 50
"""Tenths of a second between two looks for connections on which a request stands still."""


class _Server(uvicorn.Server):
    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY == 0:
            end_stalled(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_what_stays()


def _allow_connections() -> None:
    """Open as many as the system lets us: the usual limit is for programs that have few."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if most == resource.RLIM_INFINITY else min(most, CONNECTIONS)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def serve(settings: Settings) -> None:
    """Answer until the process is told to stop."""
    _allow_connections()
    config = uvicorn.Config(
        create_api(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=PredictionProtocol,
        # No route is one: a connection that is upgraded would only be held.
        ws="none",
        lifespan="on",
        access_log=False,
        # Nothing here reads a client's address, and neither header tells a client anything.
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=30,
    )
    server = _Server(config)
    shared = [listener(settings.host, settings.port)] if settings.worker else None
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=shared)
    if not server.started:
        raise SystemExit(STARTUP_FAILED)
