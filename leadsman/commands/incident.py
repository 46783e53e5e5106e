"""`leadsman incident N`: the record of an alert from onset to recovery."""

from typing import Annotated

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, out, print_json


def incident(
    number: Annotated[int, typer.Argument(help="Number of the alert.", min=1)],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as Markdown, to be kept or sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened about an alert: alarms, remedies, routes, people, in one timeline."""
    with Client(resolve()) as client:
        found = client.monitor("GET", f"/v1/incidents/{number}")
    if as_json:
        print_json(found)
        return
    if markdown:
        from monitor.alerts.incident_text import markdown as as_markdown

        typer.echo(as_markdown(found), nl=False)
        return
    out.print(f"incident {found['id']}: {found['title']}", markup=False)
    out.print(
        f"{found['application']}  {found['versions']}  tier {found['tier']}  {found['state']}",
        markup=False,
    )
    for line in found["timeline"]:
        at = line["at"][:19].replace("T", " ")
        out.print(f"{at}  {line['who']}: {line['sentence']}", markup=False)
