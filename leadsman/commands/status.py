"""`leadsman status`: what answers, how it does, what is wrong."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.errors import RefusedError
from leadsman.terminal import AsJson, champion_of, number, out, print_json, table


def status(
    application: Annotated[str | None, typer.Argument(help="All applications by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the applications, their routes and their health."""
    with Client(resolve(), timeout=30.0) as client:
        if application:
            found = [client.serving("GET", f"/v1/applications/{application}")]
        else:
            found = client.serving("GET", "/v1/applications")["applications"]
        states = [_state(client, one["name"]) for one in found]
    if as_json:
        print_json(states[0] if application else states)
    elif not states:
        out.print("no applications yet; `leadsman deploy` makes the first one")
    else:
        for state in states:
            _show(state)


def _state(client: Client, name: str) -> dict[str, Any]:
    return {
        "application": name,
        "route": client.found("GET", f"/v1/applications/{name}/route"),
        "health": _known(client, f"/v1/applications/{name}/health"),
        "budget": _known(client, f"/v1/applications/{name}/budget"),
    }


def _known(client: Client, path: str) -> Any | None:
    try:
        return client.monitor("GET", path)
    except RefusedError as error:
        # The monitor learns of an application with its first records.
        if error.status == 404:
            return None
        raise


def _show(state: dict[str, Any]) -> None:
    route = state["route"]
    if route is None:
        out.print(f"{state['application']}: no route yet")
        return
    challengers = route["policy"].get("challengers", [])
    beside = f", beside it {', '.join(challengers)}" if challengers else ""
    out.print(
        f"{state['application']}: revision {route['revision']} ({route['policy']['kind']}), "
        f"{champion_of(route['policy'])} answers{beside}"
    )
    health = state["health"]
    if health is None:
        out.print("  the monitor has seen no records of it yet")
        return
    rows = (
        (
            watch["versions"],
            watch["watch"],
            watch["status"],
            number(watch["statistic"]),
            watch["observations"],
            watch["alarms"],
        )
        for watch in health["watches"]
    )
    columns = ["versions", "watch", "status", "evidence", "observations", "alarms"]
    out.print(table(f"  {health['state']}", columns, rows))
    for line in (*not_testing(health["watches"]), *merged_segments(health["watches"])):
        out.print(line, markup=False)
    if state["budget"] is not None:
        out.print(_ledger(state["budget"]))


def not_testing(watches: list[dict[str, Any]]) -> Iterator[str]:
    """Why watches of versions in service do not test: each reason once, with those that give it."""
    named: dict[tuple[str, str], list[str]] = {}
    for one in watches:
        reason = one["status_reason"]
        if reason and one["in_service"]:
            segment = one["subject"].partition("|")[2]
            name = f"{one['watch']} of {one['versions']}" + (f" ({segment})" if segment else "")
            key = one["status"], reason.removeprefix(f"{one['status']}: ")
            named.setdefault(key, []).append(name)
    for (status, reason), names in named.items():
        yield f"  {status}, {', '.join(names)}: {reason}"


def merged_segments(watches: list[dict[str, Any]]) -> Iterator[str]:
    """Segments of versions in service in which others are tested together, and why."""
    for one in watches:
        if one["note"] and one["in_service"]:
            yield f"  {one['watch']} of {one['versions']}: {one['note']}"


def _ledger(budget: dict[str, Any]) -> Table:
    """The budget of each tier: what was allowed, what was used, what came of it."""
    rows = (
        (
            tier["name"],
            *(number(tier[name]) for name in ("budget_per_year", "granted", "spent")),
            number(tier["head_starts"]),
            number(tier["expected_false_alarms"]),
            tier["alarms"],
        )
        for tier in budget["tiers"]
    )
    columns = ["tier", "a year", "granted", "spent", "head starts", "expected false", "alarms"]
    return table("  false alarms allowed, so far", columns, rows)
