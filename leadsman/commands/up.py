"""`leadsman up`: the whole service on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from leadsman.connection import data_dir as usual_data_dir
from leadsman.terminal import err, out
from serving.launchers.base import LauncherKind

DataDir = Annotated[
    Path | None, typer.Option(help="Folder that keeps everything.  [default: ./.leadsman]")
]
OfReplicas = Annotated[
    LauncherKind | None,
    typer.Option("--launcher", help="What replicas run as.  [default: SERVING_LAUNCHER, process]"),
]


def up(
    *,
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(help="Port of serving.", min=1, max=65535)] = 8000,
    monitor_port: Annotated[
        int, typer.Option(help="Port of the monitor.", min=1, max=65535)
    ] = 8001,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Serving processes that share the port.  [default: SERVING_WORKERS, 1]", min=1
        ),
    ] = None,
    monitors: Annotated[
        int,
        typer.Option(help="Monitors that share the applications; the first has the port.", min=1),
    ] = 1,
    launcher: OfReplicas = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="A Postgres 15 or newer instead of the embedded one: postgresql://…"),
    ] = None,
) -> None:
    """Start Postgres, serving and the monitor, and keep them running until Ctrl-C."""
    from leadsman.up import Plan, Up

    folder = data_dir or usual_data_dir()
    plan = Plan(
        folder, port, monitor_port, host, database_url, workers, launcher, monitors=monitors
    )
    service = Up(plan, say=err.print)

    def ready(made: bool) -> None:
        out.print(f"serving  {service.serving_url}   (API: {service.serving_url}/docs)")
        out.print(f"monitor  {service.monitor_url}")
        if made:
            key = (folder / "admin_key").read_text().strip()
            out.print(f"admin key  {key}   (shown once; kept in {folder / 'admin_key'})")
        out.print("ready; Ctrl-C stops everything")

    service.run(ready)
    out.print("stopped")
