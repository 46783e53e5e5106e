"""`leadsman alerts`: what people are told, and their word on it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve as connection
from leadsman.terminal import AsJson, out, print_json, table

app = typer.Typer(help="List alerts; show, acknowledge, resolve one; silence an application.")
Application = Annotated[str | None, typer.Option(help="Of one application only.")]
State = Annotated[
    str | None, typer.Option(help="pending, firing, acknowledged, resolved or open only.")
]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.")]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    application: Application = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts, newest first; or do something with one."""
    if context.invoked_subcommand is not None:
        return
    asked = {"application": application, "state": state}
    wanted = {name: value for name, value in asked.items() if value is not None}
    with Client(connection()) as client:
        found = client.monitor("GET", "/v1/alerts", params=wanted)
    if as_json:
        print_json(found)
    elif not found:
        out.print("no alerts")
    else:
        rows = (
            (
                alert["id"],
                alert["state"],
                alert["tier"],
                alert["title"],
                alert["opened_at"],
                alert["inhibited_by"],
            )
            for alert in found
        )
        columns = ["id", "state", "tier", "what", "since", "explained by"]
        out.print(table("alerts", columns, rows))


@app.command("show")
def show(number: int, as_json: AsJson = False) -> None:
    """Print the whole of one alert, as people were told, and its history."""
    with Client(connection()) as client:
        alert = client.monitor("GET", f"/v1/alerts/{number}")
    if as_json:
        print_json(alert)
        return
    # As it stands: no wrapping, no markup, so that it can be pasted.
    typer.echo(alert["text"])
    for event in alert["events"]:
        reason = event["detail"].get("reason")
        told = f": {reason}" if reason else ""
        typer.echo(f"{event['at']}  {event['event']} by {event['actor']}{told}")


@app.command("acknowledge")
def acknowledge(number: int, reason: Reason = None, as_json: AsJson = False) -> None:
    """Say that somebody has it in hand."""
    _say(number, "acknowledge", reason, as_json)


@app.command("resolve")
def resolve(number: int, reason: Reason = None, as_json: AsJson = False) -> None:
    """Say that its cause is gone."""
    _say(number, "resolve", reason, as_json)


def _say(number: int, word: str, reason: str | None, as_json: bool) -> None:
    body: dict[str, Any] = {"reason": reason} if reason else {}
    with Client(connection()) as client:
        alert = client.monitor("POST", f"/v1/alerts/{number}/{word}", body)
    if as_json:
        print_json(alert)
    else:
        out.print(f"alert {number} is {alert['state']}")


@app.command("silence")
def silence(
    application: str,
    reason: Annotated[str, typer.Option(help="Why, for the others.")],
    hours: Annotated[float, typer.Option(min=0.01, help="For how long.")] = 1.0,
    kind: Annotated[str | None, typer.Option(help="Of one kind only, e.g. loss.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell nobody of an application's alerts for a while. They open, and remedies act, all the
    same."""
    until = datetime.now(UTC) + timedelta(hours=hours)
    body = {
        "application": application,
        "kind": kind,
        "until": until.isoformat(),
        "reason": reason,
    }
    with Client(connection()) as client:
        made = client.monitor("POST", "/v1/silences", body)
    if as_json:
        print_json(made)
    else:
        out.print(f"silence {made['id']} holds until {made['until']}")


@app.command("unsilence")
def unsilence(number: int) -> None:
    """End a silence."""
    with Client(connection()) as client:
        client.monitor("DELETE", f"/v1/silences/{number}")
    out.print(f"silence {number} has ended")
