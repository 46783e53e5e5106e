"""`leadsman automation`: the switch of everything that the monitor does by itself."""

from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, out, print_json, table

app = typer.Typer(
    help="Switch off everything that alarms may change by themselves, or on again.",
    no_args_is_help=True,
)
Application = Annotated[
    str | None, typer.Argument(help="One application; all of them where none is named.")
]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.")]


@app.command("on")
def turn_on(
    application: Application = None, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Let alarms act again. What was proposed meanwhile waits for its approval."""
    _turn(application, True, reason, as_json)


@app.command("off")
def turn_off(
    application: Application = None, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Let nothing act: alarms still alert, and remedies are proposed."""
    _turn(application, False, reason, as_json)


@app.command("status")
def status(application: Application = None, as_json: AsJson = False) -> None:
    """Show how the switches stand, and who turned them."""
    with Client(resolve()) as client:
        found = client.monitor("GET", _path(application))
    _show(found, as_json)


def _path(application: str | None) -> str:
    return "/v1/automation" if application is None else f"/v1/automation/{application}"


def _turn(application: str | None, enabled: bool, reason: str | None, as_json: bool) -> None:
    body: dict[str, Any] = {"enabled": enabled} | ({"reason": reason} if reason else {})
    with Client(resolve()) as client:
        found = client.monitor("PUT", _path(application), body)
    _show(found, as_json)
    for number in found["begun"] if not as_json and not enabled else ():
        out.print(f"remedy {number} was begun before and may still take effect")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if "applications" in found:
        out.print(f"all applications: {_state(found['enabled'], found['switch'])}", markup=False)
    lines = found.get("applications", [found])
    rows = (
        (one["application"], "on" if one["enabled"] else "off", _who(one["switch"]))
        for one in lines
    )
    out.print(table("automation", ["application", "acts", "turned"], rows))


def _state(enabled: bool, switch: dict[str, Any]) -> str:
    who = _who(switch)
    return ("on" if enabled else "off") + (f", turned {who}" if who else "")


def _who(switch: dict[str, Any]) -> str:
    if switch["actor"] is None:
        return ""
    why = f": {switch['reason']}" if switch["reason"] else ""
    return f"by {switch['actor']} at {switch['at'][:19]}{why}"
