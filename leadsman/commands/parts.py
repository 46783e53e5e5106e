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


def monitor() -> None:
    """Run the monitor alone; its settings are MONITOR_* variables."""
    runpy.run_module("monitor", run_name="__main__", alter_sys=True)
