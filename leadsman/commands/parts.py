"""`leadsman migrate`, `serve`, `monitor`: one part alone, as containers run them."""

import asyncio
import os
import runpy
import sys
from typing import Annotated

import typer

from leadsman.errors import CommandError
from leadsman.terminal import out


def migrate(
    database_url: Annotated[
        str | None,
        typer.Option(help="Postgres to bring to the newest form.  [default: SERVING_DATABASE_URL]"),
    ] = None,
) -> None:
    """Apply every migration that a database lacks."""
    from migrations.upgrade import upgrade

    url = database_url or os.environ.get("SERVING_DATABASE_URL")
    if not url:
        raise CommandError("no database named: give --database-url or set SERVING_DATABASE_URL")
    scheme, _, rest = url.partition("://")
    if not rest or not scheme.startswith("postgres"):
        raise CommandError(f"expected postgresql://user:password@host:port/name, received {url!r}")
    try:
        asyncio.run(upgrade(f"postgresql+asyncpg://{rest}"))
    except OSError as error:
        raise CommandError(f"no Postgres answers at {rest.rpartition('@')[2]}: {error}") from error
    out.print("the database has the newest form")


def serve(
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that share the port.  [default: SERVING_WORKERS, 1]", min=1),
    ] = None,
) -> None:
    """Run serving alone; its settings are SERVING_* variables."""
    sys.argv[1:] = [] if workers is None else ["--workers", str(workers)]
    runpy.run_module("serving", run_name="__main__", alter_sys=True)


def monitor(
    reshard: Annotated[
        int | None,
        typer.Option(
            help="Change the number of shards while no monitor runs, and end.", min=1, max=256
        ),
    ] = None,
) -> None:
    """Run the monitor alone; its settings are MONITOR_* variables."""
    if reshard is not None:
        _reshard(reshard)
        return
    sys.argv[1:] = []
    runpy.run_module("monitor", run_name="__main__", alter_sys=True)


def _reshard(count: int) -> None:
    from monitor.errors import ShardsInUseError
    from monitor.resharding import reshard
    from monitor.settings import Settings
    from monitor.store.database import connect

    async def change() -> int:
        settings = Settings()
        engine = connect(settings.database_url)
        try:
            return await reshard(engine, settings, count)
        finally:
            await engine.dispose()

    try:
        turns = asyncio.run(change())
    except ShardsInUseError as error:
        raise CommandError(error.detail) from error
    out.print(f"the record is read in {count} shards from here on, after {turns} turns")
