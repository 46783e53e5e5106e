"""The monitor's API behind a real socket."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import httpx
import uvicorn

from monitor.app import create_app
from monitor.settings import Settings
from monitor.wall_clock import Clock, utc_now

KEYS = (("admin", ["admin"]), ("reader", ["read"]), ("other", ["predict"]))


async def add_keys(url: str) -> None:
    """Make a key `lsm_NAME` for each of `KEYS`."""
    connection = await asyncpg.connect(url)
    try:
        for name, scopes in KEYS:
            await connection.execute(
                "INSERT INTO keys (id, name, hash, scopes) VALUES (gen_random_uuid(), $1, $2, $3)",
                name,
                hashlib.sha256(f"lsm_{name}".encode()).digest(),
                json.dumps(scopes),
            )
    finally:
        await connection.close()


@contextmanager
def listening(settings: Settings, port: int = 0, *, clock: Clock = utc_now) -> Iterator[str]:
    """Address of a monitor that only shows what was concluded."""
    app = create_app(settings, with_loop=False, clock=clock)
    config = uvicorn.Config(
        app, port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def monitor_api(
    settings: Settings, *, key: str = "admin", clock: Clock = utc_now
) -> Iterator[httpx.Client]:
    """A client of one; its keys are made first."""
    asyncio.run(add_keys(settings.database_url))
    headers = {"Authorization": f"Bearer lsm_{key}"}
    with (
        listening(settings, clock=clock) as address,
        httpx.Client(base_url=address, headers=headers, trust_env=False) as client,
    ):
        yield client
