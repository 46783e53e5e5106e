"""`leadsman watches`: what is watched, and the file that says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.errors import CommandError, RefusedError
from leadsman.terminal import AsJson, number, out, print_json, table

app = typer.Typer(
    help="List what is watched; apply a YAML file of watches, or say what it would change.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="YAML: application, watches, defaults, budgets.")]
Of = Annotated[
    str | None, typer.Option("--application", help="Whose watches, where the file does not say.")
]


@app.command("list")
def list_watches(
    application: Annotated[str | None, typer.Argument(help="All applications by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the watches with their shares of the budget."""
    query = {} if application is None else {"params": {"application": application}}
    with Client(resolve()) as client:
        found = client.monitor("GET", "/v1/watches", **query)
    if as_json:
        print_json(found)
        return
    columns = ("application", "name", "signal", "detector", "tier", "remedy", "mode", "origin")
    rows = (
        [
            *(one[name] for name in columns),
            "yes" if one["enabled"] else "no",
            number(one["budget_per_year"]),
        ]
        for one in found
    )
    out.print(table("watches", [*columns, "enabled", "a year"], rows))


@app.command("export")
def export(application: str, as_json: AsJson = False) -> None:
    """Print an application's watches as a file that `apply` takes."""
    with Client(resolve()) as client:
        found = client.monitor("GET", f"/v1/applications/{application}/watches")
    if as_json:
        print_json(found)
        return
    import yaml

    typer.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), nl=False)


@app.command("diff")
def diff(
    file: File,
    application: Of = None,
    *,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 where anything would change.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what applying a file would change. Nothing is changed."""
    told = _send(file, application, dry_run=True)
    _show(told, as_json)
    if exit_code and (told["changes"] or told["budgets"]):
        raise typer.Exit(1)


@app.command("apply")
def apply(file: File, application: Of = None, *, as_json: AsJson = False) -> None:
    """Make an application's watches those of a file: all of them, or none if one is refused.

    An operator's watch that the file does not name is removed. A default watch that it does not
    name is as it would be without a word, or off where the file says `defaults: false`.
    """
    _show(_send(file, application, dry_run=False), as_json)


def _send(path: Path, application: str | None, *, dry_run: bool) -> dict[str, Any]:
    # Numpy and YAML, for which no other command waits.
    from monitor.errors import InvalidRequestError, MonitorError
    from monitor.watches.file import in_file, read_watch_file

    try:
        file = read_watch_file(path)
    except MonitorError as error:
        raise CommandError(error.detail) from error
    content = file.content
    named = application or content.application
    if named is None:
        raise CommandError(f"{path} names no application: say `application:` or --application")
    if application and content.application not in (None, application):
        line = file.line_of(("application",))
        raise CommandError(
            f"{path}, line {line}: application: {content.application}, but --application says "
            f"{application}"
        )
    body = {
        "watches": [
            entry.model_dump(mode="json", exclude_unset=True) for entry in content.watches or []
        ],
        "defaults": content.defaults is not False,
        "budgets": {tier.value: one for tier, one in content.budgets.items()},
    }
    with Client(resolve()) as client:
        try:
            told: dict[str, Any] = client.monitor(
                "PUT",
                f"/v1/applications/{named}/watches",
                body,
                params={"dry_run": dry_run},
            )
        except RefusedError as error:
            if not error.errors:
                raise
            # The monitor knows more than the file: its metrics, its webhooks.
            first = error.errors[0]
            known = InvalidRequestError(first["path"], first["expected"], first.get("received", ""))
            raise CommandError(in_file(file, known).detail) from error
    return told


def _show(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    name = told["application"]
    if not told["changes"] and not told["budgets"]:
        out.print(f"{name}: the watches are those of the file", markup=False)
        return
    for line in _lines(told):
        out.print(line, markup=False)


WORDS = {
    "add": ("would be added", "added"),
    "change": ("would be changed", "changed"),
    "remove": ("would be removed", "removed"),
}


def _lines(told: dict[str, Any]) -> Iterator[str]:
    for tier, values in told["budgets"].items():
        word = WORDS["change"][0 if told["dry_run"] else 1]
        yield f"{told['application']}: budget of tier {tier} {word}"
        yield f"  false alarms a year: {values['from']:g} -> {values['to']:g}"
    for one in told["changes"]:
        word = WORDS[one["action"]][0 if told["dry_run"] else 1]
        anew = "; its tests begin anew" if one["restarts"] else ""
        yield f"{told['application']}: {one['name']} {word}{anew}"
        for field, values in one["fields"].items():
            if field == "remedy" and "rule" in one["fields"]:
                continue
            yield f"  {field}: {_brief(values['from'])} -> {_brief(values['to'])}"


def _brief(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_brief(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_brief(one) for one in value) + "]"
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
