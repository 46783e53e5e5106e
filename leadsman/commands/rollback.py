"""`leadsman rollback`: traffic back to the last good revision."""

from typing import Annotated

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, champion_of, out, print_json


def rollback(
    application: str,
    to: Annotated[
        int | None, typer.Option(help="Revision to return to; the last good one by default.", min=1)
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put an earlier revision of an application's route back in force."""
    body = {"to_revision": to, "reason": reason}
    with Client(resolve()) as client:
        revision = client.serving(
            "POST",
            f"/v1/applications/{application}/rollback",
            {name: value for name, value in body.items() if value is not None},
        )
    if as_json:
        print_json(revision)
    else:
        out.print(
            f"{application} is at revision {revision['revision']}, which restores revision "
            f"{revision['restores']}: {champion_of(revision['policy'])} answers"
        )
