"""`leadsman replay`: what the monitor would have done on past rows."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from leadsman.terminal import AsJson


def replay(
    *,
    application: Annotated[
        str | None, typer.Option(help="Whose record to read; needs the service's database.")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="First moment, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Moment after the last.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet in time order: predicted_at, features, output, and if there are "
            "any score, label, labelled_at, version, weight, context.KEY."
        ),
    ] = None,
    watches: Annotated[
        list[Path] | None,
        typer.Option(help="YAML file of watches; given twice, they are compared side by side."),
    ] = None,
    change_at: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ROW",
            min=0,
            help="Row at which something changed, from 0: tells delays and false alarms.",
        ),
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="The record.  [default: that of `leadsman up` here]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the monitor's tests over past rows. Nothing is written, nobody is told."""
    # The tests come with scipy and river, which no other command waits for.
    from leadsman.replaying import Asked, replay

    replay(
        Asked(
            application, since, until, file, watches or [], change_at or [], database_url, as_json
        )
    )
