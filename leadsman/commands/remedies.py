"""`leadsman remedies`: what the monitor did or proposes, and a person's word on it."""

from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, out, print_json, table

app = typer.Typer(help="See, approve and reject what the monitor proposes.", no_args_is_help=True)
Reason = Annotated[str | None, typer.Option(help="Why, for the history.")]


@app.command("list")
def list_remedies(as_json: AsJson = False) -> None:
    """List the remedies, newest first."""
    with Client(resolve()) as client:
        found = client.monitor("GET", "/v1/remedies")
    if as_json:
        print_json(found)
        return
    columns = (
        "id",
        "kind",
        "mode",
        "state",
        "state_reason",
        "outcome",
        "from_version",
        "to_version",
        "decided_at",
    )
    rows = ([remedy.get(name) for name in columns] for remedy in found)
    out.print(table("remedies", columns, rows))


@app.command("approve")
def approve(number: int, reason: Reason = None, as_json: AsJson = False) -> None:
    """Carry out a proposed remedy."""
    _answer(number, "approve", reason, as_json)


@app.command("reject")
def reject(number: int, reason: Reason = None, as_json: AsJson = False) -> None:
    """Drop a proposed remedy."""
    _answer(number, "reject", reason, as_json)


def _answer(number: int, word: str, reason: str | None, as_json: bool) -> None:
    body: dict[str, Any] = {"reason": reason} if reason else {}
    with Client(resolve()) as client:
        remedy = client.monitor("POST", f"/v1/remedies/{number}/{word}", body)
    if as_json:
        print_json(remedy)
    else:
        out.print(f"remedy {number} ({remedy['kind']}) is {remedy['state']}")
