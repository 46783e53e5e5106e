"""`leadsman dashboards`: what Grafana and Prometheus show, made from code.

What makes them is imported by the commands themselves: it takes longer than all other commands.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dashboards import provisioning
from dashboards.provisioning import CONSOLE, GENERATED
from leadsman.errors import CommandError
from leadsman.terminal import AsJson, out, print_json, table

app = typer.Typer(
    help="Dashboards of Grafana and rules of Prometheus, made from code.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Option(help="Folder of the files.")]
ConsoleUrl = Annotated[
    str, typer.Option(help="Address under which people reach the monitor's console.")
]


@app.command("build")
def build(
    folder: Folder = GENERATED, console_url: ConsoleUrl = CONSOLE, as_json: AsJson = False
) -> None:
    """Write dashboards, provisioning and rules; what else is in the folder is removed."""
    from dashboards import build as made

    if folder != GENERATED and folder.is_dir() and any(folder.iterdir()):
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        strange = sorted(there - made.files().keys())
        if strange:
            raise CommandError(
                f"{folder} holds {strange[0]}, which was not made here: nothing done"
            )
    try:
        changed = made.write(folder, console_url.rstrip("/"))
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}") from error
    if as_json:
        print_json({"folder": str(folder), "changed": changed})
    else:
        out.print(f"{len(changed)} files changed in {folder}")


@app.command("check")
def check(
    folder: Folder = GENERATED, console_url: ConsoleUrl = CONSOLE, as_json: AsJson = False
) -> None:
    """Say whether the files are what the code makes, and what Grafana can read."""
    from dashboards import build as made

    found = made.differences(folder, console_url.rstrip("/")) + made.faults(console_url)
    if as_json:
        print_json({"folder": str(folder), "differences": found})
    if found:
        raise CommandError(f"{found[0]} ({len(found)} in all); run leadsman dashboards build")
    if not as_json:
        out.print(f"{folder} is what the code makes")


@app.command("publish")
def publish(
    *,
    grafana_url: Annotated[
        str, typer.Option(envvar="LEADSMAN_GRAFANA_URL", help="Address of Grafana.")
    ],
    token: Annotated[
        str,
        typer.Option(
            envvar="LEADSMAN_GRAFANA_TOKEN", help="Token of a service account with the role Admin."
        ),
    ],
    prometheus_url: Annotated[
        str | None,
        typer.Option(
            envvar="LEADSMAN_PROMETHEUS_URL",
            help="Prometheus as Grafana reaches it; without it that data source is left alone.",
        ),
    ] = None,
    postgres_address: Annotated[
        str | None,
        typer.Option(
            envvar="LEADSMAN_POSTGRES_ADDRESS",
            help="host:port of the record as Grafana reaches it; without it that data source is "
            "left alone.",
        ),
    ] = None,
    postgres_database: Annotated[
        str, typer.Option(envvar="LEADSMAN_POSTGRES_DATABASE", help="Its name.")
    ] = "leadsman",
    postgres_user: Annotated[
        str, typer.Option(envvar="LEADSMAN_POSTGRES_USER", help="A login that may read its views.")
    ] = "grafana",
    postgres_password: Annotated[
        str | None, typer.Option(envvar="LEADSMAN_POSTGRES_PASSWORD", help="The login's password.")
    ] = None,
    postgres_sslmode: Annotated[
        str, typer.Option(envvar="LEADSMAN_POSTGRES_SSLMODE", help="disable, require, verify-full.")
    ] = "require",
    console_url: ConsoleUrl = CONSOLE,
    as_json: AsJson = False,
) -> None:
    """Bring folder, data sources and dashboards into a running Grafana; may be repeated."""
    from dashboards import build as made
    from dashboards.publishing import Grafana, PublishError

    sources = []
    if prometheus_url is not None:
        sources.append(provisioning.prometheus(prometheus_url))
    if postgres_address is not None:
        record = provisioning.postgres(
            postgres_address,
            postgres_database,
            postgres_user,
            postgres_password or "",
            postgres_sslmode,
        )
        if postgres_password is None:
            del record["secureJsonData"]
        sources.append(record)
    try:
        done = Grafana(grafana_url, token).publish(
            sources, made.dashboards(console_url.rstrip("/"))
        )
    except PublishError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json({"published": [asdict(one) for one in done]})
    else:
        rows = [(one.kind, one.uid, one.done) for one in done]
        out.print(table("published", ["what", "uid", "done"], rows))
