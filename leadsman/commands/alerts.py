"""`leadsman alerts`: what people are told."""

from typing import Annotated

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, out, print_json, table


def alerts(
    application: Annotated[str | None, typer.Option(help="Of one application only.")] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, firing, acknowledged or resolved only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts, newest first."""
    asked = {"application": application, "state": state}
    wanted = {name: value for name, value in asked.items() if value is not None}
    with Client(resolve()) as client:
        found = client.monitor("GET", "/v1/alerts", params=wanted)
    if as_json:
        print_json(found)
    elif not found:
        out.print("no alerts")
    else:
        rows = (
            (alert["id"], alert["state"], alert["tier"], alert["title"], alert["opened_at"])
            for alert in found
        )
        out.print(table("alerts", ["id", "state", "tier", "what", "since"], rows))
