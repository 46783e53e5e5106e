"""`leadsman demo`: a bad release and a changing world, on real data."""

from pathlib import Path
from typing import Annotated

import typer

from leadsman.commands.up import OfReplicas

DEFAULT_SPEED = 170.0
"""Rows a second: the whole run takes less than three minutes."""


def demo(
    *,
    speed: Annotated[
        float, typer.Option(help="Rows a second.", min=1.0, max=5000.0)
    ] = DEFAULT_SPEED,
    leave: Annotated[
        bool, typer.Option("--exit", help="End with the run; the service stays up otherwise.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write what happened as JSON.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of this run.  [default: ./.leadsman/demo]")
    ] = None,
    until: Annotated[int, typer.Option(help="Last row of the data to send.")] = 36_000,
    port: Annotated[int | None, typer.Option(help="Port of serving; a free one near 8000.")] = None,
    monitor_port: Annotated[
        int | None, typer.Option(help="Port of the monitor; a free one near 8001.")
    ] = None,
    launcher: OfReplicas = None,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="Play on the service that LEADSMAN_URL names.")
    ] = False,
    trainer_host: Annotated[
        str | None, typer.Option(help="Name under which that service's monitor reaches the demo.")
    ] = None,
) -> None:
    """Serve the electricity market, release a bad version, and watch the world change."""
    from leadsman.demo.run import Wishes, run

    run(
        Wishes(
            speed, leave, report, data_dir, until, port, monitor_port, launcher, elsewhere,
            trainer_host,
        )
    )  # fmt: skip
