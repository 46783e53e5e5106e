"""`leadsman rollback`: traffic back to the last good revision."""

import shlex
from typing import Annotated
from uuid import NAMESPACE_URL, uuid5

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, champion_of, out, print_json


def rollback(
    application: str,
    to: Annotated[
        int | None, typer.Option(help="Revision to return to; the last good one by default.", min=1)
    ] = None,
    leave: Annotated[
        int | None,
        typer.Option(
            "--from",
            help="Revision to leave; the one in force by default. Refused if another is.",
            min=1,
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put an earlier revision of an application's route back in force.

    It goes one step back however often it is sent: it names the revision that it leaves.
    """
    place = f"/v1/applications/{application}"
    with Client(resolve()) as client:
        if leave is None:
            leave = client.serving("GET", f"{place}/route")["revision"]
        stated = {"to_revision": to, "reason": reason, "expected_revision": leave}
        body = {name: value for name, value in stated.items() if value is not None}
        revision = client.change(
            f"{place}/rollback", body,
            key=str(uuid5(NAMESPACE_URL, f"leadsman rollback {application} {body}")),
            again=_again(application, leave, to, reason),
        )  # fmt: skip
    if as_json:
        print_json(revision)
    else:
        out.print(
            f"{application} is at revision {revision['revision']}, which restores revision "
            f"{revision['restores']}: {champion_of(revision['policy'])} answers"
        )


def _again(application: str, leave: int | None, to: int | None, reason: str | None) -> str:
    """The command line that asks for the same change once more."""
    words = ["leadsman", "rollback", application, "--from", str(leave)]
    words += ["--to", str(to)] if to is not None else []
    words += ["--reason", reason] if reason is not None else []
    return shlex.join(words)
