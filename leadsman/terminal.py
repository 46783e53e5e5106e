"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: object) -> None:
    """Print one JSON value, indented, and nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Lay out rows; a value of the service is never read as markup."""
    result = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        result.add_row(*(Text("" if value is None else str(value)) for value in row))
    return result


def champion_of(policy: dict[str, Any]) -> str:
    """Name the version whose answers count."""
    return str(policy.get("champion", policy.get("kind", "?")))


def number(value: object, digits: int = 4) -> str:
    """A figure for a table; a dash where there is none."""
    return f"{value:.{digits}g}" if isinstance(value, int | float) else "–"
