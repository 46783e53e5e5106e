"""Consoles over records that were made up: of many applications, of all in alarm, of none."""

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn

import dashboards
from leadsman.connection import Connection
from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade
from monitor.app import create_app
from monitor.settings import Settings

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import made_fleet

KEY = "lsm_pictures"
APPLICATIONS = 200

Filling = Callable[[asyncpg.Connection], Coroutine[Any, Any, None]]


async def many(connection: asyncpg.Connection) -> None:
    """A fleet of which a few are in alarm."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await made_fleet.make(connection, end, applications=APPLICATIONS, key=KEY)


async def all_in_alarm(connection: asyncpg.Connection) -> None:
    """The worst night there can be; over `many`."""
    await made_fleet.alarm_everywhere(connection)


async def none(connection: asyncpg.Connection) -> None:
    """A service on which nothing was deployed; its operator signs in."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await made_fleet.make(connection, end, applications=0, key=KEY)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a database on a server that goes with it."""
    with tempfile.TemporaryDirectory(prefix="leadsman-fleet-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "postgres", options={"fsync": "off"})
        try:
            yield server.start()
        finally:
            server.stop()


async def _filled(url: str, fill: Filling) -> None:
    connection = await asyncpg.connect(url)
    try:
        await fill(connection)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def _prepared(url: str) -> None:
    await upgrade(url.replace("postgresql://", "postgresql+asyncpg://", 1))


def fill(url: str, *fillings: Filling) -> None:
    """Write into a record; it is brought to the newest form first."""
    asyncio.run(_prepared(url))
    for one in fillings:
        asyncio.run(_filled(url, one))


@contextmanager
def console(url: str) -> Iterator[Connection]:
    """A monitor that shows a record and reads nothing, as if it had read it a moment ago.

    With the loop it would judge what was made up.
    """
    folder = Path(dashboards.__file__).parent / "console"
    app = create_app(Settings(database_url=url, console_dir=folder), with_loop=False)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    app.state.monitor.pulse.last_turn_at = datetime.now(UTC)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield Connection(address, address, KEY)
    finally:
        server.should_exit = True
        thread.join()
